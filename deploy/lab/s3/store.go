package s3

import (
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// settingsFile is where a bucket's settings stand in its folder.
const settingsFile = "@bucket.json"

// nullVersion is the id of what was put into a bucket without versions.
const nullVersion = "null"

// version is one version of an object, or a delete marker. It is never
// changed, only replaced.
type version struct {
	Key       string            `json:"key"`
	ID        string            `json:"versionId"`
	Sequence  int64             `json:"sequence"` // later writes have higher ones, in any bucket
	Modified  time.Time         `json:"lastModified"`
	Deleted   bool              `json:"deleteMarker,omitempty"`
	Size      int64             `json:"size"`
	MD5       []byte            `json:"md5,omitempty"`
	Header    map[string]string `json:"header,omitempty"` // as it is to be answered
	Retention retention         `json:"retention,omitzero"`
}

func (v *version) etag() string { return `"` + hex.EncodeToString(v.MD5) + `"` }

// bucket is a bucket's settings, and its versions by key.
type bucket struct {
	Name       string          `json:"name"`
	Created    time.Time       `json:"created"`
	Versioning bool            `json:"versioning"`
	Lock       bool            `json:"objectLock"`
	Policy     json.RawMessage `json:"policy,omitempty"`
	Block      *accessBlock    `json:"publicAccessBlock,omitempty"`

	keys    []string              // sorted
	objects map[string][]*version // newest first, never empty
}

// current returns the version that a key names, nil if there is none. A delete
// marker is returned as such.
func (b *bucket) current(key string) *version {
	if list := b.objects[key]; len(list) > 0 {
		return list[0]
	}
	return nil
}

// live returns the version that a key names, nil if it is a delete marker.
func (b *bucket) live(key string) *version {
	if v := b.current(key); v != nil && !v.Deleted {
		return v
	}
	return nil
}

func (b *bucket) version(key, id string) *version {
	for _, v := range b.objects[key] {
		if v.ID == id {
			return v
		}
	}
	return nil
}

// insert puts a version in its place and returns the one that it replaces.
func (b *bucket) insert(v *version) (replaced *version) {
	if i, found := slices.BinarySearch(b.keys, v.Key); !found {
		b.keys = slices.Insert(b.keys, i, v.Key)
	}
	if replaced = b.version(v.Key, v.ID); replaced != nil {
		b.objects[v.Key] = slices.DeleteFunc(b.objects[v.Key], func(w *version) bool { return w == replaced })
	}
	list := append(b.objects[v.Key], v)
	slices.SortFunc(list, func(x, y *version) int { return cmp.Compare(y.Sequence, x.Sequence) })
	b.objects[v.Key] = list
	return replaced
}

func (b *bucket) remove(v *version) {
	list := slices.DeleteFunc(b.objects[v.Key], func(w *version) bool { return w == v })
	b.objects[v.Key] = list
	if len(list) > 0 {
		return
	}
	delete(b.objects, v.Key)
	if i, found := slices.BinarySearch(b.keys, v.Key); found {
		b.keys = slices.Delete(b.keys, i, i+1)
	}
}

// store keeps buckets in a folder:
//
//	BUCKET/@bucket.json   its settings
//	BUCKET/KEY/@7         the bytes of the seventh write
//	BUCKET/KEY/@7.json    its metadata; there is no version without this file
//
// The slashes of a key make folders. The files' numbers grow over all buckets,
// and the metadata names the key, so that keys which differ in case alone may
// share a folder.
type store struct {
	dir  string
	now  func() time.Time
	seed uint64

	mu       sync.RWMutex
	buckets  map[string]*bucket
	sequence int64 // of the last write
}

func openStore(dir string, now func() time.Time, seed uint64) (*store, error) {
	s := &store{dir: dir, now: now, seed: seed, buckets: map[string]*bucket{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := s.load(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// load takes up the bucket in a folder, if there is one.
func (s *store) load(folder string) error {
	b := &bucket{objects: map[string][]*version{}}
	if err := readJSON(filepath.Join(folder, settingsFile), b); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	} else if err != nil {
		return err
	}
	s.buckets[b.Name] = b
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err != nil || e.IsDir() || name == settingsFile || name[0] != '@' || filepath.Ext(name) != ".json" {
			return err
		}
		v := &version{}
		if err := readJSON(path, v); err != nil {
			return err
		}
		s.sequence = max(s.sequence, v.Sequence)
		if same := b.version(v.Key, v.ID); same == nil || same.Sequence < v.Sequence {
			b.insert(v) // two have the id "null" if the lab ended while one replaced the other
		}
		return nil
	})
}

// bucket returns a bucket for as long as the lock is held.
func (s *store) bucket(name string) (*bucket, error) {
	if b := s.buckets[name]; b != nil {
		return b, nil
	}
	return nil, gofakes3.ErrNoSuchBucket
}

// view calls a function with a bucket that nobody changes meanwhile.
func (s *store) view(name string, f func(*bucket) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucket(name)
	if err != nil {
		return err
	}
	return f(b)
}

// change calls a function with a bucket that nobody else sees meanwhile.
func (s *store) change(name string, f func(*bucket) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucket(name)
	if err != nil {
		return err
	}
	return f(b)
}

// configure changes a bucket's settings.
func (s *store) configure(name string, f func(*bucket) error) error {
	return s.change(name, func(b *bucket) error {
		if err := f(b); err != nil {
			return err
		}
		return writeJSON(filepath.Join(s.dir, b.Name, settingsFile), b)
	})
}

// create makes a bucket. One that there is stays as it is.
func (s *store) create(name string, lock bool) (created bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] != nil {
		return false, nil
	}
	b := &bucket{Name: name, Created: s.now().UTC(), Versioning: lock, Lock: lock, Block: everythingBlocked(), objects: map[string][]*version{}}
	if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
		return false, err
	}
	if err := writeJSON(filepath.Join(s.dir, name, settingsFile), b); err != nil {
		return false, err
	}
	s.buckets[name] = b
	return true, nil
}

func (s *store) drop(name string) error {
	return s.change(name, func(b *bucket) error {
		if len(b.keys) > 0 {
			return gofakes3.ErrBucketNotEmpty
		}
		delete(s.buckets, name)
		return os.RemoveAll(filepath.Join(s.dir, name))
	})
}

// put writes a version if the check, which sees the bucket before, agrees.
func (s *store) put(name string, v version, body []byte, check func(*bucket) error) (*version, error) {
	v.Size = int64(len(body))
	sum := md5.Sum(body)
	v.MD5 = sum[:]
	err := s.change(name, func(b *bucket) error {
		if err := check(b); err != nil {
			return err
		}
		return s.write(b, &v, body)
	})
	return &v, err
}

// write gives a version its place, id and time, first on disk.
func (s *store) write(b *bucket, v *version, body []byte) error {
	s.sequence++
	v.Sequence, v.Modified, v.ID = s.sequence, s.now().UTC(), nullVersion
	if b.Versioning {
		v.ID = s.versionID(v)
	}
	path := s.path(b, v)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if !v.Deleted {
		if err := os.WriteFile(path, body, 0o600); err != nil {
			return err
		}
	}
	if err := writeJSON(path+".json", v); err != nil {
		return err
	}
	if replaced := b.insert(v); replaced != nil {
		return s.erase(b, replaced)
	}
	return nil
}

// delete puts a delete marker on a key, or removes it from a bucket without
// versions. It returns the marker, if it made one.
func (s *store) delete(name, key string, check func(*bucket) error) (marker *version, err error) {
	err = s.change(name, func(b *bucket) error {
		if err := check(b); err != nil {
			return err
		}
		if b.Versioning {
			marker = &version{Key: key, Deleted: true}
			return s.write(b, marker, nil)
		}
		return s.removeVersion(b, b.version(key, nullVersion))
	})
	return marker, err
}

// purge removes one version for good, if its retention allows. It returns it,
// nil if there was none.
func (s *store) purge(name, key, id string, bypass bool) (v *version, err error) {
	err = s.change(name, func(b *bucket) error {
		if v = b.version(key, id); v == nil {
			return nil
		}
		if v.Retention.holds(s.now(), bypass) {
			return protected()
		}
		return s.removeVersion(b, v)
	})
	return v, err
}

func (s *store) removeVersion(b *bucket, v *version) error {
	if v == nil {
		return nil
	}
	b.remove(v)
	return s.erase(b, v)
}

// retain replaces the retention of a version if the check agrees.
func (s *store) retain(t target, f func(*bucket, *version) (retention, error)) error {
	return s.change(t.bucket, func(b *bucket) error {
		v, err := b.find(t.key, t.version)
		if err != nil {
			return err
		}
		changed := *v
		if changed.Retention, err = f(b, v); err != nil {
			return err
		}
		if err := writeJSON(s.path(b, v)+".json", changed); err != nil {
			return err
		}
		b.insert(&changed)
		return nil
	})
}

// find returns a version to read: the current one for the id "".
func (b *bucket) find(key, id string) (*version, error) {
	if id == "" {
		if v := b.live(key); v != nil {
			return v, nil
		}
		return nil, gofakes3.ErrNoSuchKey
	}
	v := b.version(key, id)
	switch {
	case v == nil:
		return nil, gofakes3.ErrNoSuchVersion
	case v.Deleted:
		return nil, gofakes3.ErrMethodNotAllowed
	}
	return v, nil
}

// erase removes the files of a version, and the folders that it leaves empty.
func (s *store) erase(b *bucket, v *version) error {
	path := s.path(b, v)
	if err := os.Remove(path + ".json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	root := filepath.Join(s.dir, b.Name)
	for dir := filepath.Dir(path); dir != root && os.Remove(dir) == nil; {
		dir = filepath.Dir(dir)
	}
	return nil
}

// versionID returns an id that no version had before.
func (s *store) versionID(v *version) string {
	var b [24]byte
	binary.BigEndian.PutUint64(b[:], s.seed)
	binary.BigEndian.PutUint64(b[8:], uint64(v.Sequence))
	binary.BigEndian.PutUint64(b[16:], uint64(v.Modified.UnixNano())) // numbers come again after a restart
	sum := sha256.Sum256(b[:])
	return hex.EncodeToString(sum[:16])
}
