package cloudformation

import (
	"cmp"
	"net/http"
	"strings"
)

var s3Kinds = map[string]kind{
	"AWS::S3::Bucket": define(definition[bucketProperties]{
		attributes: []string{"Arn", "DomainName", "DualStackDomainName", "RegionalDomainName", "WebsiteURL"},
		create:     createBucket, update: updateBucket, remove: removeBucket,
		replaces: func(was, is *bucketProperties) bool { return was.ObjectLockEnabled && !is.ObjectLockEnabled },
	}),
	"AWS::S3::BucketPolicy": define(definition[bucketPolicyProperties]{create: createBucketPolicy, update: updateBucketPolicy, remove: removeBucketPolicy}),
}

// bucketProperties are those of a bucket that keeps records. Of these the lab's
// S3 has versioning and Object Lock; the others are kept.
type bucketProperties struct {
	BucketEncryption struct {
		ServerSideEncryptionConfiguration []struct {
			BucketKeyEnabled              bool
			ServerSideEncryptionByDefault struct {
				KMSMasterKeyID string
				SSEAlgorithm   string `cfn:"required"`
			}
			BlockedEncryptionTypes struct{ EncryptionType []string }
		} `cfn:"required"`
	}
	BucketName             string `cfn:"name"`
	LifecycleConfiguration struct {
		Rules []struct {
			AbortIncompleteMultipartUpload    struct{ DaysAfterInitiation int64 }
			ExpirationInDays                  int64
			ExpiredObjectDeleteMarker         bool
			Id                                string
			NoncurrentVersionExpiration       struct{ NewerNoncurrentVersions, NoncurrentDays int64 }
			NoncurrentVersionExpirationInDays int64
			Prefix                            string
			Status                            string `cfn:"required"`
			Transitions                       []struct {
				StorageClass     string `cfn:"required"`
				TransitionInDays int64
			}
		} `cfn:"required"`
		TransitionDefaultMinimumObjectSize string
	}
	LoggingConfiguration    struct{ DestinationBucketName, LogFilePrefix string }
	ObjectLockConfiguration struct {
		ObjectLockEnabled string
		Rule              struct {
			DefaultRetention struct {
				Days, Years int64
				Mode        string
			}
		}
	}
	ObjectLockEnabled bool
	OwnershipControls struct {
		Rules []struct{ ObjectOwnership string } `cfn:"required"`
	}
	PublicAccessBlockConfiguration struct {
		BlockPublicAcls, BlockPublicPolicy, IgnorePublicAcls, RestrictPublicBuckets bool
	}
	Tags                    []Tag
	VersioningConfiguration struct {
		Status string `cfn:"required"`
	}
}

// xmlHeader is that of S3's configurations.
var xmlHeader = http.Header{"Content-Type": {"application/xml"}}

func createBucket(t *task, p *bucketProperties) (entity, error) {
	name := cmp.Or(p.BucketName, strings.ToLower(t.name(63)))
	header := http.Header{}
	if p.ObjectLockEnabled {
		header.Set("X-Amz-Bucket-Object-Lock-Enabled", "true")
	}
	// In us-east-1 S3 takes a bucket that is the caller's own once more, and a stack does not.
	if _, err := t.do(t, "s3", http.MethodHead, escaped(name), nil, nil); err == nil {
		return entity{}, &refusal{Service: "S3", Code: "BucketAlreadyOwnedByYou", Message: name + " already exists", Status: 409, RequestID: "n/a"}
	}
	var body []byte
	if t.options.Region != "us-east-1" {
		body = []byte(`<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>` +
			t.options.Region + `</LocationConstraint></CreateBucketConfiguration>`)
	}
	if _, err := t.do(t, "s3", http.MethodPut, escaped(name), header, body); err != nil {
		return entity{}, err
	}
	domain := t.options.Region + ".amazonaws.com"
	e := entity{ID: name, Attributes: map[string]string{
		"Arn": "arn:aws:s3:::" + name, "DomainName": name + ".s3.amazonaws.com",
		"DualStackDomainName": name + ".s3.dualstack." + domain, "RegionalDomainName": name + ".s3." + domain,
		"WebsiteURL": "http://" + name + ".s3-website-" + domain,
	}}
	if _, err := updateBucket(t, e, &bucketProperties{ObjectLockEnabled: p.ObjectLockEnabled}, p); err != nil {
		_ = removeBucket(t, e, p) // err is what is to be told
		return entity{}, err
	}
	return e, nil
}

func updateBucket(t *task, e entity, was, is *bucketProperties) (entity, error) {
	if status := is.VersioningConfiguration.Status; status != was.VersioningConfiguration.Status {
		body := `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>` + cmp.Or(status, "Suspended") + `</Status></VersioningConfiguration>`
		if _, err := t.do(t, "s3", http.MethodPut, escaped(e.ID)+"?versioning", xmlHeader, []byte(body)); err != nil {
			return e, err
		}
	}
	rule := is.ObjectLockConfiguration.Rule.DefaultRetention
	if is.ObjectLockEnabled != was.ObjectLockEnabled || rule != was.ObjectLockConfiguration.Rule.DefaultRetention {
		body := `<ObjectLockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><ObjectLockEnabled>Enabled</ObjectLockEnabled>`
		if rule.Mode != "" {
			body += "<Rule></Rule>" // which the lab's S3 refuses
		}
		if _, err := t.do(t, "s3", http.MethodPut, escaped(e.ID)+"?object-lock", xmlHeader, []byte(body+"</ObjectLockConfiguration>")); err != nil {
			return e, err
		}
	}
	return e, nil
}

func removeBucket(t *task, e entity, _ *bucketProperties) error {
	_, err := t.do(t, "s3", http.MethodDelete, escaped(e.ID), nil, nil)
	if isCode(err, "NoSuchBucket") {
		return nil
	}
	return err
}

type bucketPolicyProperties struct {
	Bucket         string   `cfn:"required,fixed"`
	PolicyDocument document `cfn:"required"`
}

func createBucketPolicy(t *task, p *bucketPolicyProperties) (entity, error) {
	return updateBucketPolicy(t, entity{ID: p.Bucket}, nil, p)
}

func updateBucketPolicy(t *task, e entity, _, p *bucketPolicyProperties) (entity, error) {
	_, err := t.do(t, "s3", http.MethodPut, escaped(p.Bucket)+"?policy", http.Header{"Content-Type": {"application/json"}}, p.PolicyDocument)
	return e, err
}

func removeBucketPolicy(t *task, _ entity, p *bucketPolicyProperties) error {
	_, err := t.do(t, "s3", http.MethodDelete, escaped(p.Bucket)+"?policy", nil, nil)
	if isCode(err, "NoSuchBucket") {
		return nil
	}
	return err
}
