package s3

import (
	"cmp"
	"encoding/xml"
	"io"
	"net/http"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// The headers of Object Lock, as net/http spells them.
const (
	headerLockMode  = "X-Amz-Object-Lock-Mode"
	headerLockUntil = "X-Amz-Object-Lock-Retain-Until-Date"
	headerBypass    = "X-Amz-Bypass-Governance-Retention"
)

const (
	governance = "GOVERNANCE"
	compliance = "COMPLIANCE"
)

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// What these return has a text of its own; gofakes3 writes into the errors that
// it is given, so that none of them is shared.
func protected() error {
	return refuse(errAccessDenied, "Access Denied because object protected by object lock.")
}

func unlocked() error {
	return refuse(errInvalidRequest, "Bucket is missing Object Lock Configuration")
}

// retention is how long a version is protected; the zero value is not at all.
type retention struct {
	Mode  string    `json:"mode"`
	Until time.Time `json:"retainUntil"`
}

// holds says whether a version may not be deleted.
func (r retention) holds(now time.Time, bypass bool) bool {
	return now.Before(r.Until) && (r.Mode == compliance || r.Mode == governance && !bypass)
}

// mayBecome says whether one retention may take the place of another. While it
// holds it can only grow.
func (r retention) mayBecome(next retention, now time.Time, bypass bool) bool {
	if !r.holds(now, bypass) {
		return true
	}
	stronger := r.Mode == next.Mode || next.Mode == compliance
	return stronger && !next.Until.Before(r.Until)
}

// checkRetention refuses headers that do not make a retention.
func checkRetention(h http.Header, now time.Time) error {
	mode, until := h.Get(headerLockMode), h.Get(headerLockUntil)
	switch {
	case mode == "" && until == "":
		return nil
	case mode == "" || until == "":
		return refuse(gofakes3.ErrInvalidArgument, "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied")
	case mode != governance && mode != compliance:
		return refuse(gofakes3.ErrInvalidArgument, "Unknown wormMode directive.")
	}
	t, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return refuse(gofakes3.ErrInvalidArgument, "The retain until date must be provided in ISO 8601 format")
	}
	return checkUntil(t, now)
}

func checkUntil(until, now time.Time) error {
	if !until.After(now) {
		return refuse(gofakes3.ErrInvalidArgument, "The retain until date must be in the future!")
	}
	return nil
}

// retentionOf takes the retention out of headers that were checked.
func retentionOf(meta map[string]string) retention {
	r := retention{Mode: meta[headerLockMode]}
	r.Until, _ = time.Parse(time.RFC3339, meta[headerLockUntil])
	delete(meta, headerLockMode)
	delete(meta, headerLockUntil)
	r.Until = r.Until.UTC()
	return r
}

// retentionXML is the body of GetObjectRetention and PutObjectRetention.
type retentionXML struct {
	XMLName         xml.Name `xml:"Retention"`
	Xmlns           string   `xml:"xmlns,attr,omitempty"`
	Mode            string   `xml:",omitempty"`
	RetainUntilDate string   `xml:",omitempty"`
}

func (s *Service) getRetention(w http.ResponseWriter, _ *http.Request, t target) error {
	var r retention
	err := s.store.view(t.bucket, func(b *bucket) error {
		if !b.Lock {
			return unlocked()
		}
		v, err := b.find(t.key, t.version)
		if err != nil {
			return err
		}
		r = v.Retention
		return nil
	})
	switch {
	case err != nil:
		return err
	case r.Mode == "":
		return errNoRetention
	}
	writeXML(w, retentionXML{Xmlns: namespace, Mode: r.Mode, RetainUntilDate: isoTime(r.Until)})
	return nil
}

func (s *Service) putRetention(_ http.ResponseWriter, r *http.Request, t target) error {
	if _, err := readBody(r); err != nil {
		return err
	}
	var in retentionXML
	if err := readXML(r, &in); err != nil {
		return err
	}
	now := s.options.Now()
	next := retention{Mode: in.Mode}
	if in.Mode != "" || in.RetainUntilDate != "" {
		until, err := time.Parse(time.RFC3339, in.RetainUntilDate)
		if err != nil || in.Mode != governance && in.Mode != compliance {
			return gofakes3.ErrMalformedXML
		}
		if err := checkUntil(until, now); err != nil {
			return err
		}
		next.Until = until.UTC()
	}
	return s.store.retain(t, func(b *bucket, v *version) (retention, error) {
		if !b.Lock {
			return retention{}, unlocked()
		}
		if !v.Retention.mayBecome(next, now, bypasses(r)) {
			return retention{}, protected()
		}
		return next, nil
	})
}

func bypasses(r *http.Request) bool { return r.Header.Get(headerBypass) == "true" }

// lockXML is the body of GetObjectLockConfiguration and
// PutObjectLockConfiguration.
type lockXML struct {
	XMLName           xml.Name `xml:"ObjectLockConfiguration"`
	Xmlns             string   `xml:"xmlns,attr,omitempty"`
	ObjectLockEnabled string
	Rule              *struct{} // default retention
}

func (s *Service) getLockConfiguration(w http.ResponseWriter, _ *http.Request, t target) error {
	if err := s.store.view(t.bucket, func(b *bucket) error {
		if !b.Lock {
			return errNoLock
		}
		return nil
	}); err != nil {
		return err
	}
	writeXML(w, lockXML{Xmlns: namespace, ObjectLockEnabled: "Enabled"})
	return nil
}

// putLockConfiguration turns Object Lock on; nothing turns it off.
func (s *Service) putLockConfiguration(_ http.ResponseWriter, r *http.Request, t target) error {
	if _, err := readBody(r); err != nil {
		return err
	}
	var in lockXML
	if err := readXML(r, &in); err != nil {
		return err
	}
	switch {
	case in.ObjectLockEnabled != "Enabled":
		return gofakes3.ErrMalformedXML
	case in.Rule != nil:
		return gofakes3.ErrNotImplemented
	}
	return s.store.configure(t.bucket, func(b *bucket) error {
		if !b.Versioning {
			return refuse(errBucketState, "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
		}
		b.Lock = true
		return nil
	})
}

func readXML(r *http.Request, v any) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if xml.Unmarshal(b, v) != nil {
		return gofakes3.ErrMalformedXML
	}
	return nil
}

// isoTime is how S3 writes times, to the millisecond.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// headers returns what a read of the version answers beside its ETag.
func (v *version) headers() map[string]string {
	h := map[string]string{
		"Content-Type":  cmp.Or(v.Header["Content-Type"], "binary/octet-stream"),
		"Last-Modified": v.Modified.Format(http.TimeFormat),
	}
	for name, value := range v.Header {
		h[name] = value
	}
	if v.Retention.Mode != "" {
		h[headerLockMode], h[headerLockUntil] = v.Retention.Mode, isoTime(v.Retention.Until)
	}
	return h
}
