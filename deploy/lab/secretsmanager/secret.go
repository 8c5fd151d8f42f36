package secretsmanager

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// The staging labels that Secrets Manager moves by itself.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
	pending  = "AWSPENDING"
)

// Quotas: docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
const (
	maxVersions = 100            // for each secret
	maxLabels   = 20             // across all versions of a secret
	keepVersion = 24 * time.Hour // a deprecated version is never purged before
)

// secret is one secret as it is stored. Its JSON form is the lab's file.
type secret struct {
	ARN         string
	Name        string
	Type        string      `json:",omitempty"`
	Description *string     `json:",omitempty"`
	KmsKeyID    *string     `json:",omitempty"`
	Created     time.Time   `json:",omitzero"`
	Changed     time.Time   `json:",omitzero"`
	Accessed    time.Time   `json:",omitzero"` // a day
	Rotated     time.Time   `json:",omitzero"`
	Deletion    time.Time   `json:",omitzero"` // when it will be gone
	Forced      bool        `json:",omitempty"`
	Tags        []types.Tag // nil: never tagged; empty: untagged
	Policy      *string     `json:",omitempty"`
	Rotation    *rotation   `json:",omitempty"` // nil: never configured
	Versions    []*version  // by creation; replaced, never changed in place
}

// version is one version of a secret's value.
type version struct {
	ID       string
	Stages   []string // sorted
	Created  time.Time
	Accessed time.Time `json:",omitzero"` // a day
	Text     *string   `json:",omitempty"`
	Binary   []byte    `json:",omitempty"`
}

// rotation is a secret's rotation: how it is configured, when it is due, and
// the one that goes on.
type rotation struct {
	Enabled  bool
	Function string
	Rules    types.RotationRulesType
	Opens    time.Time `json:",omitzero"` // the next window
	Closes   time.Time `json:",omitzero"`
	Flight   *flight   `json:",omitempty"`
}

// flight is a rotation that has begun and is neither done nor given up.
type flight struct {
	Token         string // also the new version's id
	RotationToken string
	Test          bool // only testSecret, with a copy of the current value
	Stuck         bool // all attempts failed
}

func (v *version) has(label string) bool { return slices.Contains(v.Stages, label) }

func (v *version) valued() bool { return v.Text != nil || v.Binary != nil }

// clone returns a copy that may be changed, versions included.
func (sec *secret) clone() *secret {
	c := *sec
	c.Tags = slices.Clone(sec.Tags)
	c.Versions = make([]*version, len(sec.Versions))
	for i, v := range sec.Versions {
		w := *v
		w.Stages = slices.Clone(v.Stages)
		c.Versions[i] = &w
	}
	if sec.Rotation != nil {
		r := *sec.Rotation
		if r.Flight != nil {
			f := *r.Flight
			r.Flight = &f
		}
		c.Rotation = &r
	}
	return &c
}

// version returns the version with an id, or nil.
func (sec *secret) version(id string) *version {
	i := slices.IndexFunc(sec.Versions, func(v *version) bool { return v.ID == id })
	if i < 0 {
		return nil
	}
	return sec.Versions[i]
}

// holder returns the version that has a label, or nil.
func (sec *secret) holder(label string) *version {
	i := slices.IndexFunc(sec.Versions, func(v *version) bool { return v.has(label) })
	if i < 0 {
		return nil
	}
	return sec.Versions[i]
}

// detach takes a label from whichever version has it, and returns that
// version or nil.
func (sec *secret) detach(label string) *version {
	v := sec.holder(label)
	if v != nil {
		v.Stages = slices.DeleteFunc(v.Stages, func(s string) bool { return s == label })
	}
	return v
}

// attach moves a label to a version. AWSPREVIOUS goes to the version that
// AWSCURRENT leaves; AWSPENDING stays where it is. It reports whether anything
// changed.
func (sec *secret) attach(label string, v *version) bool {
	if v.has(label) {
		return false
	}
	from := sec.detach(label)
	v.Stages = append(v.Stages, label)
	slices.Sort(v.Stages)
	if label == current && from != nil {
		sec.attach(previous, from)
	}
	return true
}

func (sec *secret) labels() (n int) {
	for _, v := range sec.Versions {
		n += len(v.Stages)
	}
	return n
}

// prune removes the oldest deprecated versions above the quota and returns
// them. What is left may still be above it: labelled versions and those of
// the last 24 hours stay.
func (sec *secret) prune(now time.Time) (gone []*version) {
	excess := len(sec.Versions) - maxVersions
	sec.Versions = slices.DeleteFunc(sec.Versions, func(v *version) bool {
		if len(gone) >= excess || len(v.Stages) > 0 || now.Sub(v.Created) < keepVersion {
			return false
		}
		gone = append(gone, v)
		return true
	})
	return gone
}

func (sec *secret) deleted() bool { return !sec.Deletion.IsZero() }

func (sec *secret) purgeable(now time.Time) bool { return sec.deleted() && !now.Before(sec.Deletion) }

func (sec *secret) rotating() *flight {
	if sec.Rotation == nil {
		return nil
	}
	return sec.Rotation.Flight
}

func (sec *secret) rotates() bool { return sec.Rotation != nil && sec.Rotation.Enabled }

// suffix is the random end of the ARN.
func (sec *secret) suffix() string { return sec.ARN[strings.LastIndexByte(sec.ARN, '-')+1:] }

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
