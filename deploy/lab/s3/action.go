package s3

import (
	"net/http"
	"slices"
	"strings"
)

// actions are the operations by method, depth of the path and sub-resource.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
var actions = map[string]string{
	"GET /":                            "ListBuckets",
	"PUT /bucket":                      "CreateBucket",
	"HEAD /bucket":                     "HeadBucket",
	"DELETE /bucket":                   "DeleteBucket",
	"GET /bucket":                      "ListObjects",
	"GET /bucket?list-type":            "ListObjectsV2",
	"GET /bucket?versions":             "ListObjectVersions",
	"POST /bucket?delete":              "DeleteObjects",
	"GET /bucket?location":             "GetBucketLocation",
	"GET /bucket?versioning":           "GetBucketVersioning",
	"PUT /bucket?versioning":           "PutBucketVersioning",
	"GET /bucket?policy":               "GetBucketPolicy",
	"PUT /bucket?policy":               "PutBucketPolicy",
	"DELETE /bucket?policy":            "DeleteBucketPolicy",
	"GET /bucket?object-lock":          "GetObjectLockConfiguration",
	"PUT /bucket?object-lock":          "PutObjectLockConfiguration",
	"GET /bucket?publicAccessBlock":    "GetPublicAccessBlock",
	"PUT /bucket?publicAccessBlock":    "PutPublicAccessBlock",
	"DELETE /bucket?publicAccessBlock": "DeletePublicAccessBlock",
	"GET /bucket/key":                  "GetObject",
	"HEAD /bucket/key":                 "HeadObject",
	"PUT /bucket/key":                  "PutObject",
	"DELETE /bucket/key":               "DeleteObject",
	"GET /bucket/key?retention":        "GetObjectRetention",
	"PUT /bucket/key?retention":        "PutObjectRetention",
}

// parameters are the members of a query that do not choose an action. All
// others are sub-resources.
var parameters = []string{
	"bucket-region", "continuation-token", "delimiter", "encoding-type", "fetch-owner", "key-marker", "marker",
	"max-buckets", "max-keys", "prefix", "start-after", "version-id-marker", "versionId", "x-id",
}

// target is what a request is about.
type target struct {
	bucket, key string
	version     string // "": the current one
}

func targetOf(r *http.Request) target {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return target{bucket: bucket, key: key, version: r.URL.Query().Get("versionId")}
}

func (t target) bucketARN() string { return "arn:aws:s3:::" + t.bucket }

// Action implements wire.Actioner. It is "" for what the lab does not model.
func (s *Service) Action(r *http.Request) string {
	t, route := targetOf(r), r.Method+" /"
	switch {
	case t.key != "":
		route += "bucket/key"
	case t.bucket != "":
		route += "bucket"
	}
	for name := range r.URL.Query() {
		if !slices.Contains(parameters, name) && !strings.HasPrefix(name, "X-Amz-") && !strings.HasPrefix(name, "response-") {
			route += "?" + name // a second one makes a route that does not exist
		}
	}
	return actions[route]
}

// permissions are the IAM actions that are not named as the operation.
var permissions = map[string]string{
	"DeleteObjects":              "s3:DeleteObject",
	"GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
	"DeletePublicAccessBlock":    "s3:PutBucketPublicAccessBlock",
	"GetPublicAccessBlock":       "s3:GetBucketPublicAccessBlock",
	"HeadBucket":                 "s3:ListBucket",
	"HeadObject":                 "s3:GetObject",
	"ListBuckets":                "s3:ListAllMyBuckets",
	"ListObjects":                "s3:ListBucket",
	"ListObjectsV2":              "s3:ListBucket",
	"ListObjectVersions":         "s3:ListBucketVersions",
	"PutObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
	"PutPublicAccessBlock":       "s3:PutBucketPublicAccessBlock",
}
