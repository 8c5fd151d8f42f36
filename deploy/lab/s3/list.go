package s3

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

// listObjects has gofakes3 list, and adds the count that it leaves out of an
// empty list.
func (s *Service) listObjects(w http.ResponseWriter, r *http.Request, _ target) error {
	a, err := s.speak(r)
	if err != nil {
		return err
	}
	const count = "<KeyCount>"
	if b := a.body.Bytes(); !bytes.Contains(b, []byte(count)) {
		i := bytes.LastIndex(b, []byte("</"))
		a.body = *bytes.NewBuffer(slices.Concat(b[:i], []byte(count+"0</KeyCount>"), b[i:]))
	}
	a.write(w)
	return nil
}

// rollUp returns the common prefix that stands for a key in a list, "" if the
// key stands for itself, and whether the list has it at all.
func rollUp(p *gofakes3.Prefix, key string) (common string, match bool) {
	rest, match := strings.CutPrefix(key, p.Prefix)
	if !match || p.Delimiter == "" {
		return "", match
	}
	if i := strings.Index(rest, p.Delimiter); i >= 0 {
		return p.Prefix + rest[:i+len(p.Delimiter)], true
	}
	return "", true
}

// after returns the keys that come after a marker, those under it included if
// it is the common prefix of an earlier page.
func (b *bucket) after(marker string) []string {
	i, found := slices.BinarySearch(b.keys, marker)
	if found {
		i++
	}
	return b.keys[i:]
}

// ListBucket lists the current versions. The marker of the next page is the
// last key or common prefix of this one.
func (b backend) ListBucket(name string, p *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	list := gofakes3.NewObjectList()
	err := b.view(name, func(k *bucket) error {
		count, last := int64(0), page.Marker
		for _, key := range k.after(page.Marker) {
			v := k.live(key)
			common, match := rollUp(p, key)
			if v == nil || !match || page.MaxKeys == 0 || common != "" && common == last {
				continue
			}
			if count == page.MaxKeys {
				list.IsTruncated, list.NextMarker = true, last
				return nil
			}
			count++
			if last = key; common != "" {
				last = common
				list.AddPrefix(common)
				continue
			}
			list.Add(&gofakes3.Content{Key: key, LastModified: gofakes3.NewContentTime(v.Modified), ETag: v.etag(), Size: v.Size})
		}
		return nil
	})
	return list, err
}

// ListBucketVersions lists all versions and delete markers, those of a key
// from the newest on.
func (b backend) ListBucketVersions(name string, p *gofakes3.Prefix, page *gofakes3.ListBucketVersionsPage) (*gofakes3.ListBucketVersionsResult, error) {
	list := gofakes3.NewListBucketVersionsResult(name, p, page)
	err := b.view(name, func(k *bucket) error {
		keys := k.after(page.KeyMarker)
		rest := k.rest(page.KeyMarker, string(page.VersionIDMarker))
		if len(rest) > 0 {
			keys = append([]string{page.KeyMarker}, keys...)
		}
		count, last, lastID := int64(0), page.KeyMarker, string(page.VersionIDMarker)
		for _, key := range keys {
			common, match := rollUp(p, key)
			if !match || page.MaxKeys == 0 || common != "" && common == last {
				continue
			}
			versions := k.objects[key]
			switch {
			case common != "":
				versions = versions[:1]
			case key == page.KeyMarker:
				versions = rest
			}
			for _, v := range versions {
				if count == page.MaxKeys {
					list.IsTruncated, list.NextKeyMarker, list.NextVersionIDMarker = true, last, gofakes3.VersionID(lastID)
					return nil
				}
				count++
				if common != "" {
					last, lastID = common, ""
					list.AddPrefix(common)
					continue
				}
				last, lastID = key, v.ID
				list.Versions = append(list.Versions, k.item(v))
			}
		}
		return nil
	})
	return list, err
}

// rest returns the versions of a key that come after one of them.
func (b *bucket) rest(key, id string) []*version {
	list := b.objects[key]
	if i := slices.IndexFunc(list, func(v *version) bool { return v.ID == id }); i >= 0 {
		return list[i+1:]
	}
	return nil
}

func (b *bucket) item(v *version) gofakes3.VersionItem {
	latest, modified, id := v == b.current(v.Key), gofakes3.NewContentTime(v.Modified), gofakes3.VersionID(v.ID)
	if v.Deleted {
		return &gofakes3.DeleteMarker{Key: v.Key, VersionID: id, IsLatest: latest, LastModified: modified}
	}
	return &gofakes3.Version{Key: v.Key, VersionID: id, IsLatest: latest, LastModified: modified, Size: v.Size, ETag: v.etag()}
}
