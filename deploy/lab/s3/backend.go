package s3

import (
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

// backend is the store as gofakes3 sees it.
type backend struct{ *store }

var (
	_ gofakes3.Backend          = backend{}
	_ gofakes3.VersionedBackend = backend{}
)

func (b backend) ListBuckets() ([]gofakes3.BucketInfo, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := []gofakes3.BucketInfo{}
	for _, k := range b.buckets {
		list = append(list, gofakes3.BucketInfo{Name: k.Name, CreationDate: gofakes3.NewContentTime(k.Created)})
	}
	slices.SortFunc(list, func(x, y gofakes3.BucketInfo) int { return strings.Compare(x.Name, y.Name) })
	return list, nil
}

func (b backend) BucketExists(name string) (bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.buckets[name] != nil, nil
}

func (b backend) CreateBucket(name string) error {
	_, err := b.create(name, false)
	return err
}

func (b backend) DeleteBucket(name string) error { return b.drop(name) }

// ForceDeleteBucket is an extension of MinIO's.
func (b backend) ForceDeleteBucket(string) error { return gofakes3.ErrNotImplemented }

func (b backend) GetObject(name, key string, r *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	return b.GetObjectVersion(name, key, "", r)
}

func (b backend) HeadObject(name, key string) (*gofakes3.Object, error) {
	return b.HeadObjectVersion(name, key, "")
}

func (b backend) HeadObjectVersion(name, key string, id gofakes3.VersionID) (*gofakes3.Object, error) {
	o, err := b.GetObjectVersion(name, key, id, nil)
	if err != nil {
		return nil, err
	}
	err = o.Contents.Close()
	o.Contents = http.NoBody
	return o, err
}

// GetObjectVersion returns a version with the headers that answer it. A delete
// marker that is named by its id is not for reading.
func (b backend) GetObjectVersion(name, key string, id gofakes3.VersionID, r *gofakes3.ObjectRangeRequest) (o *gofakes3.Object, err error) {
	err = b.view(name, func(k *bucket) error {
		if v := k.current(key); id == "" && v != nil && v.Deleted {
			o = &gofakes3.Object{Name: key, IsDeleteMarker: true, VersionID: gofakes3.VersionID(v.ID), Contents: http.NoBody}
			return nil
		}
		v, err := k.find(key, string(id))
		if err != nil {
			return err
		}
		o, err = b.open(k, v, r)
		return err
	})
	return o, err
}

func (b backend) open(k *bucket, v *version, r *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	part, err := r.Range(v.Size)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(b.path(k, v))
	if err != nil {
		return nil, err
	}
	o := &gofakes3.Object{Name: v.Key, Size: v.Size, Hash: v.MD5, Range: part, Contents: f, Metadata: v.headers()}
	if k.Versioning {
		o.VersionID = gofakes3.VersionID(v.ID)
	}
	if part != nil {
		o.Contents = struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(f, part.Start, part.Length), f}
	}
	return o, nil
}

// PutObject writes a version. Its metadata are the headers that putObject let
// through.
func (b backend) PutObject(name, key string, meta map[string]string, input io.Reader, size int64, c *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	body, err := gofakes3.ReadAll(input, size)
	if err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	v := version{Key: key, Header: meta, Retention: retentionOf(meta)}
	delete(meta, "Last-Modified")
	versioned := false
	put, err := b.put(name, v, body, func(k *bucket) error {
		versioned = k.Versioning
		if v.Retention.Mode != "" && !k.Lock {
			return unlocked()
		}
		return conditionsHold(k.live(key), c)
	})
	if err != nil || !versioned {
		return gofakes3.PutObjectResult{}, err
	}
	return gofakes3.PutObjectResult{VersionID: gofakes3.VersionID(put.ID)}, nil
}

// conditionsHold says whether the current version is as a write wants it.
// AWS's table: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func conditionsHold(current *version, c *gofakes3.PutConditions) error {
	switch {
	case c == nil:
		return nil
	case c.IfNoneMatch != nil && current != nil:
		return gofakes3.ErrPreconditionFailed
	case c.IfMatch != nil && current == nil:
		return gofakes3.ErrNoSuchKey
	case c.IfMatch != nil && !sameTag(*c.IfMatch, current):
		return gofakes3.ErrPreconditionFailed
	}
	return nil
}

// sameTag compares an If-Match with a version. The quotes may be missing.
func sameTag(match string, v *version) bool {
	return match == "*" || strings.Trim(match, `"`) == strings.Trim(v.etag(), `"`)
}

// DeleteObject and DeleteObjectVersion are here for the interface alone:
// Service.deleteObject serves what they would.
func (b backend) DeleteObject(name, key string) (gofakes3.ObjectDeleteResult, error) {
	return gofakes3.ObjectDeleteResult{}, gofakes3.ErrNotImplemented
}

func (b backend) DeleteObjectVersion(string, string, gofakes3.VersionID) (gofakes3.ObjectDeleteResult, error) {
	return gofakes3.ObjectDeleteResult{}, gofakes3.ErrNotImplemented
}

func (b backend) DeleteMulti(string, ...string) (gofakes3.MultiDeleteResult, error) {
	return gofakes3.MultiDeleteResult{}, gofakes3.ErrNotImplemented
}

// DeleteMultiVersions deletes one after the other. It never bypasses
// retention.
func (b backend) DeleteMultiVersions(name string, objects ...gofakes3.ObjectID) (result gofakes3.MultiDeleteResult, err error) {
	for _, o := range objects {
		var err error
		if o.VersionID == "" {
			_, err = b.delete(name, o.Key, func(*bucket) error { return nil })
		} else {
			_, err = b.purge(name, o.Key, o.VersionID, false)
		}
		if err == nil {
			result.Deleted = append(result.Deleted, o)
			continue
		}
		code, message := describe(err)
		result.Error = append(result.Error, gofakes3.ErrorResult{Key: o.Key, Code: code, Message: message})
	}
	return result, nil
}

func (b backend) CopyObject(string, string, string, string, map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObjectResult{}, gofakes3.ErrNotImplemented
}

// VersioningConfiguration is served by Service.getVersioning: gofakes3 writes
// an empty element for what a bucket does not have.
func (b backend) VersioningConfiguration(string) (gofakes3.VersioningConfiguration, error) {
	return gofakes3.VersioningConfiguration{}, gofakes3.ErrNotImplemented
}

func (b backend) SetVersioningConfiguration(name string, c gofakes3.VersioningConfiguration) error {
	return b.configure(name, func(k *bucket) error {
		switch {
		case c.Status == gofakes3.VersioningEnabled && !c.MFADelete.Enabled():
			k.Versioning = true
			return nil
		case k.Lock:
			return refuse(errBucketState, "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")
		default:
			return gofakes3.ErrNotImplemented
		}
	})
}
