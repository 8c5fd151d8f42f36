// Package s3 is the lab's S3: buckets and objects below a folder, for the
// lab's wire front to serve under "s3" in path style.
//
// gofakes3 reads and writes most of the protocol. This package keeps the
// objects, since none of that library's stores has versions on disk, and
// stands in front of it for what it does not model: checksums and the
// aws-chunked encoding, Object Lock, conditional deletes, bucket policies (kept
// for whoever judges by them), and errors with the codes, texts and statuses of
// AWS.
//
// A write is checked against its conditions and made under one lock, so that
// of many creators exactly one wins. Reads are of the last write, and lists
// are complete, as on AWS.
//
// Not modelled, and refused as NotImplemented: copies, multipart uploads,
// parts and their attributes, tags, ACLs, legal holds, default retention,
// suspended versioning, lifecycle, replication, website and every other
// sub-resource. Accepted and without effect: signatures, policies, blocks of
// public access, storage class, encryption headers, Cache-Control and Expires.
// Permissions are not judged here, but for Options.MayList. The version "null" of a key can be
// deleted by its id but read as the current one only. A failed If-Match of a
// DeleteObject whose key is absent answers 412, which AWS does not document.
package s3

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Options of the service.
type Options struct {
	Dir    string           // everything is kept below it; what stands there is taken up
	Region string           // default us-east-1
	Now    func() time.Time // default time.Now

	// MayList tells whether a caller has s3:ListBucket on a bucket. Without
	// it a key that is missing answers 403 AccessDenied and not 404. nil
	// grants it to everybody. Whether a call may list is decided before it
	// comes here.
	MayList func(caller wire.Identity, bucket string) bool

	// Policy is told of every policy that a bucket gets, nil when it loses
	// it, before it has it. An error refuses it as malformed.
	Policy func(bucketARN string, document json.RawMessage) error

	// ConflictRate is the share of conditional writes and deletes, 0 to 1,
	// that answer 409 ConditionalRequestConflict and do nothing, as AWS does
	// when writes race.
	ConflictRate float64
	Seed         uint64 // of conflicts and version ids
}

// Service is an http.Handler. Make it with [New].
type Service struct {
	options  Options
	store    *store
	protocol http.Handler
	own      map[string]func(http.ResponseWriter, *http.Request, target) error

	mu           sync.Mutex // of the conflicts
	conflictRate float64
	random       *rand.Rand
}

// New opens the buckets below a folder, which is made when it is missing.
func New(o Options) (*Service, error) {
	o.Region = cmp.Or(o.Region, "us-east-1")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MayList == nil {
		o.MayList = func(wire.Identity, string) bool { return true }
	}
	if o.Policy == nil {
		o.Policy = func(string, json.RawMessage) error { return nil }
	}
	st, err := openStore(o.Dir, o.Now, o.Seed)
	if err != nil {
		return nil, err
	}
	for name, b := range st.buckets {
		if b.Policy != nil {
			if err := o.Policy(target{bucket: name}.bucketARN(), b.Policy); err != nil {
				return nil, err
			}
		}
	}
	s := &Service{options: o, store: st, conflictRate: o.ConflictRate, random: rand.New(rand.NewPCG(o.Seed, 0x7333))}
	s.protocol = gofakes3.New(backend{st}, gofakes3.WithTimeSource(clock(o.Now)),
		gofakes3.WithTimeSkewLimit(0), gofakes3.WithMetadataSizeLimit(0)).Server()
	s.own = map[string]func(http.ResponseWriter, *http.Request, target) error{
		"CreateBucket":               s.createBucket,
		"HeadBucket":                 s.headBucket,
		"GetBucketLocation":          s.getLocation,
		"GetBucketVersioning":        s.getVersioning,
		"GetBucketPolicy":            s.getPolicy,
		"PutBucketPolicy":            s.putPolicy,
		"DeleteBucketPolicy":         s.deletePolicy,
		"GetPublicAccessBlock":       s.getAccessBlock,
		"PutPublicAccessBlock":       s.putAccessBlock,
		"DeletePublicAccessBlock":    s.deleteAccessBlock,
		"GetObjectLockConfiguration": s.getLockConfiguration,
		"PutObjectLockConfiguration": s.putLockConfiguration,
		"ListObjectsV2":              s.listObjects,
		"GetObject":                  s.getObject,
		"HeadObject":                 s.getObject,
		"PutObject":                  s.putObject,
		"DeleteObject":               s.deleteObject,
		"GetObjectRetention":         s.getRetention,
		"PutObjectRetention":         s.putRetention,
	}
	return s, nil
}

// SetConflictRate changes Options.ConflictRate while the service runs.
func (s *Service) SetConflictRate(rate float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conflictRate = rate
}

// conflict draws whether a conditional request meets a conflict.
func (s *Service) conflict() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conflictRate > 0 && s.random.Float64() < s.conflictRate {
		return gofakes3.ErrConditionalRequestConflict
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := targetOf(r)
	action := s.Action(r)
	w.Header().Set("Server", "AmazonS3")
	w.Header().Set("X-Amz-Request-Id", wire.RequestFrom(r.Context()).ID)
	w.Header().Set("X-Amz-Id-2", hostID)
	if err := s.serve(w, r, t, action); err != nil {
		writeError(w, r, s.veil(err, r, t, action))
	}
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request, t target, action string) error {
	if action == "" {
		return gofakes3.ErrNotImplemented
	}
	if own := s.own[action]; own != nil {
		return own(w, r, t)
	}
	a, err := s.speak(r)
	if err != nil {
		return err
	}
	if action == "DeleteBucket" {
		if err := s.options.Policy(t.bucketARN(), nil); err != nil {
			return err
		}
	}
	a.write(w)
	return nil
}

func (s *Service) mayList(r *http.Request, t target) bool {
	return s.options.MayList(wire.IdentityFrom(r.Context()), t.bucket)
}

// veil turns the absence of a key into a denial for who may not list.
func (s *Service) veil(err error, r *http.Request, t target, action string) error {
	absent := gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) || gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchVersion)
	if absent && !s.mayList(r, t) {
		return denied(r, "s3:ListBucket", t.bucketARN())
	}
	return err
}

// clock is the lab's clock as gofakes3 reads it.
type clock func() time.Time

func (c clock) Now() time.Time                  { return c() }
func (c clock) Since(t time.Time) time.Duration { return c().Sub(t) }
