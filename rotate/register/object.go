package register

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// schema is the version of the objects' form. A reader refuses a later one.
const schema = 1

// timeForm is RFC 3339 with milliseconds, in UTC.
const timeForm = "2006-01-02T15:04:05.000Z"

// object is a fact as it stands in S3: these members in this order, one line. The digest is over the
// same line without it, so that a cut or changed object is told from a whole one.
type object struct {
	Schema      int         `json:"schema"`
	Kind        Kind        `json:"kind"`
	Secret      string      `json:"secret"`
	Version     string      `json:"version,omitempty"`
	At          string      `json:"at"`
	Keys        []objectKey `json:"keys,omitempty"`
	Fingerprint string      `json:"fingerprint,omitempty"`
	Hosts       []string    `json:"hosts,omitempty"`
	Users       []string    `json:"users,omitempty"`
	Note        string      `json:"note,omitempty"`
	Digest      string      `json:"sha256,omitempty"`
}

type objectKey struct {
	Fingerprint string `json:"fingerprint"`
	PublicKey   string `json:"publicKey"`
}

// encode returns the canonical form of a normal fact: the same fact, the same bytes.
func encode(f Fact) []byte {
	o := object{
		Schema: schema, Kind: f.Kind, Secret: f.Secret, Version: f.Version, At: f.At.Format(timeForm),
		Fingerprint: string(f.Fingerprint), Hosts: f.Hosts, Users: f.Users, Note: f.Note,
	}
	for _, k := range f.Keys {
		o.Keys = append(o.Keys, objectKey{string(k.Fingerprint()), k.String()})
	}
	sum := sha256.Sum256(line(o))
	o.Digest = hex.EncodeToString(sum[:])
	return line(o)
}

// line writes a value as one line of JSON.
func line(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // strings and numbers always encode
	}
	return b.Bytes()
}

// Reasons why an object is not the fact that its key promises.
var (
	// ErrDamaged: the object is cut, changed or no fact at all.
	ErrDamaged = errors.New("damaged: cut, changed, or not a fact of the register")
	// ErrForeign: a whole fact, but one that belongs under another key.
	ErrForeign = errors.New("foreign: it belongs under another key")
	// ErrLater: written by a later release.
	ErrLater = errors.New("written by a later release: its form is not known here")
	// ErrMissing: other objects say that this one must be there, and it is not.
	ErrMissing = errors.New("missing")
)

// decode reads the object under a key. It accepts what encode writes, byte for byte.
func decode(key string, body []byte) (Fact, error) {
	var o object
	if err := strict(body, &o); err != nil {
		var form struct {
			Schema int `json:"schema"`
		}
		if json.Unmarshal(body, &form) == nil && form.Schema > schema {
			return Fact{}, fmt.Errorf("schema %d: %w", form.Schema, ErrLater)
		}
		return Fact{}, ErrDamaged
	}
	if o.Schema > schema {
		return Fact{}, fmt.Errorf("schema %d: %w", o.Schema, ErrLater)
	}
	f, err := o.fact()
	if err != nil {
		return Fact{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !bytes.Equal(encode(f.normal()), body) {
		return Fact{}, ErrDamaged
	}
	if want := keyOf(f); want != key {
		return Fact{}, fmt.Errorf("%w, %s", ErrForeign, want)
	}
	return f, nil
}

// strict decodes exactly one JSON value without unknown members.
func strict(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

func (o object) fact() (Fact, error) {
	at, err := time.Parse(timeForm, o.At)
	if err != nil {
		return Fact{}, errors.New("its time cannot be read")
	}
	f := Fact{
		Kind: o.Kind, Secret: o.Secret, Version: o.Version, At: at, Fingerprint: sshkey.Fingerprint(o.Fingerprint),
		Hosts: o.Hosts, Users: o.Users, Note: o.Note,
	}
	for _, k := range o.Keys {
		public, err := sshkey.ParsePublic(k.PublicKey)
		if err != nil {
			return Fact{}, err
		}
		f.Keys = append(f.Keys, public)
	}
	if err := f.check(); err != nil {
		return Fact{}, err
	}
	return f, nil
}

// The folders in the bucket.
const (
	registerFolder = "register/"
	leaseFolder    = "lease/"
	bundleFolder   = "bundle/"
)

// keyOf returns the object key of a fact:
//
//	register/aws/us-east-1/111122223333/<secret>/<version>/created.json
//	register/aws/us-east-1/111122223333/<secret>/<version>/installed-<time>-<digest>.json
//	register/aws/us-east-1/111122223333/<secret>/revoked/<fingerprint>.json
//
// A kind of which there is one fact has a name of its own, so that a second, different one meets the
// first. The others are named by their content.
func keyOf(f Fact) string {
	folder := folderOf(f.Secret)
	if f.Kind == Revoked {
		// A version id has 32 characters at least, so it is never "revoked".
		return folder + "revoked/" + strings.NewReplacer("+", "-", "/", "_").Replace(f.Fingerprint.Short()) + ".json"
	}
	name := string(f.Kind)
	if !slices.Contains(once, f.Kind) {
		sum := sha256.Sum256(encode(f))
		name += fmt.Sprintf("-%s-%s", f.At.Format("20060102T150405.000Z"), base64.RawURLEncoding.EncodeToString(sum[:12]))
	}
	return folder + segment(f.Version) + "/" + name + ".json"
}

// holdsKeys reports whether a key is that of a fact that tells the keys of a version.
func holdsKeys(key string) bool {
	return strings.HasSuffix(key, "/"+string(Created)+".json") || strings.HasSuffix(key, "/"+string(Found)+".json")
}

// folderOf returns the prefix of all facts of a secret, whose ARN was checked.
func folderOf(arn string) string { return registerFolder + pathOf(arn) + "/" }

// PathOf turns a secret's ARN into a path of four segments: what belongs to a secret stands below it in every
// folder of the bucket. The error says that it is no such ARN.
func PathOf(arn string) (string, error) {
	if !secretARN().MatchString(arn) {
		return "", fmt.Errorf("%q is not the ARN of a secret", arn)
	}
	return pathOf(arn), nil
}

// pathOf is PathOf of an ARN that was checked.
func pathOf(arn string) string {
	part := secretARN().FindStringSubmatch(arn)
	return strings.Join([]string{part[1], part[2], part[3], segment(part[4])}, "/")
}

// maxSegment keeps a segment within what file systems take as a name, so that a bucket can be copied
// to a disk, and a whole key far below the 1,024 bytes of S3.
const maxSegment = 160

// segment returns a path segment for any text, different for different texts: the text itself where
// it is short and harmless, else what can be kept of it, "!", and its digest. "!" is in no plain segment,
// and S3 lists it as safe.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
func segment(text string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', strings.ContainsRune("-_.+=@", r):
			return r
		}
		return '!'
	}, text)
	if plain == text && len(plain) <= maxSegment && !strings.HasPrefix(plain, ".") {
		return plain
	}
	if strings.HasPrefix(plain, ".") {
		plain = "!" + plain
	}
	sum := sha256.Sum256([]byte(text))
	return plain[:min(len(plain), maxSegment)] + "!" + hex.EncodeToString(sum[:16])
}
