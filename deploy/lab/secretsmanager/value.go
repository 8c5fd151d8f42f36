package secretsmanager

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// value is what a version holds: text or bytes, or nothing.
type value struct {
	text   *string
	binary []byte
}

// maxValue is the size of a value: characters of a string, bytes of a blob.
const maxValue = 65536

func newValue(text *string, binary []byte) (value, error) {
	if text != nil && binary != nil {
		return value{}, badParameter("You can't specify both a binary secret value and a string secret value in the same secret.")
	}
	if text != nil {
		return value{text: text}, within("secretString", "", utf8.RuneCountInString(*text), 1, maxValue)
	}
	if binary != nil {
		return value{binary: binary}, within("secretBinary", "", len(binary), 1, maxValue)
	}
	return value{}, nil
}

func (v value) none() bool { return v.text == nil && v.binary == nil }

func (v value) sameAs(w *version) bool {
	if v.text != nil && w.Text != nil {
		return *v.text == *w.Text
	}
	return v.text == nil && w.Text == nil && bytes.Equal(v.binary, w.Binary)
}

// write stores a value under a token and attaches labels to its version;
// nil labels are AWSCURRENT.
//
// The token may be that of a version already: with no value yet (a rotation
// under way) it gets this one; with the same value nothing is written, but
// labels that are given are attached all the same; another value is refused.
func (s *Service) write(sec *secret, token string, v value, labels []string) (*version, error) {
	given := labels
	if labels == nil {
		labels = []string{current}
	}
	target := sec.version(token)
	switch {
	case target == nil:
		target = &version{ID: token, Created: s.now(), Text: v.text, Binary: v.binary}
		sec.Versions = append(sec.Versions, target)
		if len(sec.Versions) == 1 && !slices.Contains(labels, current) {
			labels = append(slices.Clone(labels), current) // the first version is current, whatever was asked
		}
		s.abandon(sec, token)
	case !target.valued():
		target.Text, target.Binary = v.text, v.binary
	case v.sameAs(target):
		labels = given
	default:
		return nil, &wire.Error{Code: "ResourceExistsException", Message: "You can't use ClientRequestToken " + token +
			" because that value is already in use for a version of secret " + sec.ARN + "."}
	}
	for _, label := range labels {
		s.move(sec, label, target)
	}
	if err := s.withinQuotas(sec); err != nil {
		return nil, err
	}
	return target, nil
}

// move attaches a label, tells EventBridge, and sees to the schedule: a value
// that was put by hand counts as a rotation.
func (s *Service) move(sec *secret, label string, to *version) {
	if !sec.attach(label, to) {
		return
	}
	if label != pending && label != previous {
		s.emit(Event{Name: SecretLabelUpdated, VersionID: to.ID, Label: label}, sec)
	}
	if label == current && sec.rotates() && sec.rotating() == nil {
		sec.Rotation.reschedule(s.now())
	}
}

func (s *Service) withinQuotas(sec *secret) error {
	for _, v := range sec.prune(s.now()) {
		s.emit(Event{Name: SecretVersionDeletion, VersionID: v.ID}, sec)
	}
	if len(sec.Versions) > maxVersions {
		return overLimit(fmt.Sprintf("You can't have more than %d versions of a secret.", maxVersions)) // our words
	}
	if sec.labels() > maxLabels {
		return overLimit(fmt.Sprintf("You can't attach more than %d staging labels to the versions of a secret.", maxLabels)) // our words
	}
	return nil
}
