package s3

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"

	"github.com/johannesboyne/gofakes3"
)

// maxPolicy bounds a bucket policy.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html
const maxPolicy = 20 << 10

// createBucket makes a bucket, with versions when it has Object Lock. Made
// again it is the same bucket in us-east-1 and refused elsewhere.
func (s *Service) createBucket(w http.ResponseWriter, r *http.Request, t target) error {
	if err := gofakes3.ValidateBucketName(t.bucket); err != nil {
		return refuse(gofakes3.ErrInvalidBucketName, "The specified bucket is not valid.")
	}
	lock := r.Header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true"
	created, err := s.store.create(t.bucket, lock)
	if err != nil {
		return err
	}
	if !created && s.options.Region != "us-east-1" {
		return errBucketOwned
	}
	w.Header().Set("Location", "/"+t.bucket)
	return nil
}

func (s *Service) headBucket(w http.ResponseWriter, _ *http.Request, t target) error {
	w.Header().Set("X-Amz-Bucket-Region", s.options.Region)
	return s.store.view(t.bucket, func(*bucket) error { return nil })
}

type locationXML struct {
	XMLName xml.Name `xml:"LocationConstraint"`
	Xmlns   string   `xml:"xmlns,attr"`
	Region  string   `xml:",chardata"`
}

// getLocation answers the Region, which is empty for us-east-1.
func (s *Service) getLocation(w http.ResponseWriter, _ *http.Request, t target) error {
	if err := s.store.view(t.bucket, func(*bucket) error { return nil }); err != nil {
		return err
	}
	l := locationXML{Xmlns: namespace}
	if s.options.Region != "us-east-1" {
		l.Region = s.options.Region
	}
	writeXML(w, l)
	return nil
}

type versioningXML struct {
	XMLName xml.Name `xml:"VersioningConfiguration"`
	Xmlns   string   `xml:"xmlns,attr"`
	Status  string   `xml:",omitempty"` // a bucket that never had versions has none
}

func (s *Service) getVersioning(w http.ResponseWriter, _ *http.Request, t target) error {
	out := versioningXML{Xmlns: namespace}
	if err := s.store.view(t.bucket, func(b *bucket) error {
		if b.Versioning {
			out.Status = "Enabled"
		}
		return nil
	}); err != nil {
		return err
	}
	writeXML(w, out)
	return nil
}

func (s *Service) getPolicy(w http.ResponseWriter, _ *http.Request, t target) error {
	return s.store.view(t.bucket, func(b *bucket) error {
		if b.Policy == nil {
			return errNoPolicy
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b.Policy)
		return nil
	})
}

func (s *Service) putPolicy(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := readBody(r); err != nil {
		return err
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var policy struct{ Version, Statement any }
	switch {
	case len(b) > maxPolicy:
		return refuse(errMalformedPolicy, "Normalized bucket policy document exceeds the maximum allowed size of 20480 bytes.")
	case json.Unmarshal(b, &policy) != nil:
		return refuse(errMalformedPolicy, "Policies must be valid JSON and the first byte must be '{'")
	case policy.Statement == nil:
		return refuse(errMalformedPolicy, "Missing required field Statement")
	}
	return s.setPolicy(w, t, b)
}

func (s *Service) deletePolicy(w http.ResponseWriter, _ *http.Request, t target) error {
	return s.setPolicy(w, t, nil)
}

func (s *Service) setPolicy(w http.ResponseWriter, t target, policy json.RawMessage) error {
	if err := s.store.configure(t.bucket, func(b *bucket) error {
		if err := s.options.Policy(t.bucketARN(), policy); err != nil {
			return refuse(errMalformedPolicy, err.Error())
		}
		b.Policy = policy
		return nil
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// accessBlock says what of a bucket may be public. Nothing here ever is: the lab
// has one account.
type accessBlock struct {
	BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets bool
}

// everythingBlocked is what a bucket begins with.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
func everythingBlocked() *accessBlock { return &accessBlock{true, true, true, true} }

// accessBlockXML is the body of GetPublicAccessBlock and PutPublicAccessBlock.
type accessBlockXML struct {
	XMLName xml.Name `xml:"PublicAccessBlockConfiguration"`
	Xmlns   string   `xml:"xmlns,attr,omitempty"`
	accessBlock
}

func (s *Service) getAccessBlock(w http.ResponseWriter, _ *http.Request, t target) error {
	out := accessBlockXML{Xmlns: namespace}
	if err := s.store.view(t.bucket, func(b *bucket) error {
		if b.Block == nil {
			return errNoBlock
		}
		out.accessBlock = *b.Block
		return nil
	}); err != nil {
		return err
	}
	writeXML(w, out)
	return nil
}

// putAccessBlock sets all four; one that is left out is off.
func (s *Service) putAccessBlock(_ http.ResponseWriter, r *http.Request, t target) error {
	if _, err := readBody(r); err != nil {
		return err
	}
	var in accessBlockXML
	if err := readXML(r, &in); err != nil {
		return err
	}
	return s.store.configure(t.bucket, func(b *bucket) error {
		b.Block = &in.accessBlock
		return nil
	})
}

func (s *Service) deleteAccessBlock(w http.ResponseWriter, _ *http.Request, t target) error {
	if err := s.store.configure(t.bucket, func(b *bucket) error {
		b.Block = nil
		return nil
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
