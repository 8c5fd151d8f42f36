package secretsmanager

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
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

func (s *Service) createSecret(in *api.CreateSecretInput) (*api.CreateSecretOutput, error) {
	v, err := newValue(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if err := checkCreate(in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.find(in.Name)
	switch {
	case err != nil: // there is none
	case old.Forced: // it only lingers
	case old.deleted():
		return nil, badRequest("You can't create this secret because a secret with this name is already scheduled for deletion.")
	case !v.none() && old.version(*in.ClientRequestToken) != nil && v.sameAs(old.version(*in.ClientRequestToken)):
		return &api.CreateSecretOutput{ARN: &old.ARN, Name: &old.Name, VersionId: in.ClientRequestToken}, nil
	default:
		return nil, &wire.Error{Code: "ResourceExistsException", Message: "The operation failed because the secret " + *in.Name + " already exists."}
	}
	now := s.now()
	sec := &secret{
		ARN: s.prefix() + *in.Name + "-" + s.randomSuffix(*in.Name), Name: *in.Name, Type: aws.ToString(in.Type),
		Description: nonEmpty(in.Description), KmsKeyID: nonEmpty(in.KmsKeyId), Created: now, Changed: now,
	}
	if in.Tags != nil {
		if err := sec.tag(in.Tags); err != nil {
			return nil, err
		}
	}
	return commit(s, sec, func() (*api.CreateSecretOutput, error) {
		out := &api.CreateSecretOutput{ARN: &sec.ARN, Name: &sec.Name}
		if v.none() {
			return out, nil
		}
		out.VersionId = in.ClientRequestToken
		_, err := s.write(sec, *in.ClientRequestToken, v, nil)
		return out, err
	})
}

func checkCreate(in *api.CreateSecretInput) error {
	if err := required("name", in.Name, 1, 512); err != nil {
		return err
	}
	if !validName.MatchString(*in.Name) {
		return badName()
	}
	if err := length("description", in.Description, 0, 2048); err != nil {
		return err
	}
	if in.AddReplicaRegions != nil {
		return badParameter("Invalid replica region.") // the lab is one Region
	}
	return checkToken(in.ClientRequestToken, "InvalidRequestException")
}

// randomSuffix returns the six characters that end an ARN.
func (s *Service) randomSuffix(name string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	sum := s.unique("suffix of " + name)
	b := sum[:6]
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

var validRotationToken = regexp.MustCompile(`^[a-zA-Z0-9-]+$`)

// checkRotationToken checks the token that a rotation function passes on: it
// must be the one of the rotation under way, if there is one. AWS says only
// that it validates the identity of the role; the answer to another is ours.
func checkRotationToken(sec *secret, token *string) error {
	if token == nil {
		return nil
	}
	if err := within("rotationToken", "", utf8.RuneCountInString(*token), 36, 256); err != nil {
		return err
	}
	if !validRotationToken.MatchString(*token) {
		return broken("rotationToken", "", `satisfy regular expression pattern: ^[a-zA-Z0-9\-]+$`)
	}
	if f := sec.rotating(); f != nil && f.RotationToken != *token {
		return badParameter("The RotationToken isn't valid for the rotation of this secret.")
	}
	return nil
}

func (s *Service) putSecretValue(in *api.PutSecretValueInput) (*api.PutSecretValueOutput, error) {
	v, err := newValue(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if v.none() {
		return nil, badRequest("You must provide either SecretString or SecretBinary.")
	}
	if err := checkToken(in.ClientRequestToken, "InvalidRequestException"); err != nil {
		return nil, err
	}
	if err := checkLabels(in.VersionStages); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	if err := checkRotationToken(sec, in.RotationToken); err != nil {
		return nil, err
	}
	return commit(s, sec, func() (*api.PutSecretValueOutput, error) {
		target, err := s.write(sec, *in.ClientRequestToken, v, in.VersionStages)
		if err != nil {
			return nil, err
		}
		return &api.PutSecretValueOutput{ARN: &sec.ARN, Name: &sec.Name, VersionId: &target.ID, VersionStages: noneIfEmpty(target.Stages)}, nil
	})
}

// checkLabels checks the labels of a request; nil is none given.
func checkLabels(labels []string) error {
	if labels == nil {
		return nil
	}
	if err := within("versionStages", fmt.Sprintf("'%v'", labels), len(labels), 1, maxLabels); err != nil {
		return err
	}
	for i, label := range labels {
		if err := length("versionStages."+strconv.Itoa(i+1)+".member", &label, 1, 256); err != nil {
			return err
		}
	}
	return nil
}

// commit makes a change and stores it, or leaves no trace of it, events
// included. The caller holds mu.
func commit[O any](s *Service, sec *secret, do func() (O, error)) (O, error) {
	events := len(s.queue)
	out, err := do()
	if err == nil {
		err = s.put(sec)
	}
	if err != nil {
		s.queue = s.queue[:events]
	}
	return out, err
}

func (s *Service) updateSecret(in *api.UpdateSecretInput) (*api.UpdateSecretOutput, error) {
	v, err := newValue(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if err := length("description", in.Description, 0, 2048); err != nil {
		return nil, err
	}
	if err := checkToken(in.ClientRequestToken, "InvalidRequestException"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	return commit(s, sec, func() (*api.UpdateSecretOutput, error) {
		if in.Description != nil {
			sec.Description = nonEmpty(in.Description)
		}
		if in.KmsKeyId != nil {
			sec.KmsKeyID = nonEmpty(in.KmsKeyId)
		}
		if in.Type != nil {
			sec.Type = *in.Type
		}
		out := &api.UpdateSecretOutput{ARN: &sec.ARN, Name: &sec.Name}
		if v.none() {
			return out, nil
		}
		target, err := s.write(sec, *in.ClientRequestToken, v, nil)
		if err != nil {
			return nil, err
		}
		out.VersionId = &target.ID
		return out, nil
	})
}

func (s *Service) getSecretValue(in *api.GetSecretValueInput) (*api.GetSecretValueOutput, error) {
	if err := length("versionId", in.VersionId, 32, 64); err != nil {
		return nil, err
	}
	if err := length("versionStage", in.VersionStage, 1, 256); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(in.SecretId, in.VersionId, in.VersionStage)
}

// read returns a version's value and notes the day. The caller holds mu.
func (s *Service) read(id, versionID, stage *string) (*api.GetSecretValueOutput, error) {
	sec, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if sec.Forced {
		return nil, notFound()
	}
	if sec.deleted() {
		return nil, markedForDeletion()
	}
	v, err := sec.lookup(versionID, stage)
	if err != nil {
		return nil, err
	}
	if today := day(s.now()); v.Accessed != today || sec.Accessed != today {
		sec = sec.clone()
		v = sec.version(v.ID)
		sec.Accessed, v.Accessed = today, today
		if err := s.put(sec); err != nil {
			return nil, err
		}
	}
	return &api.GetSecretValueOutput{
		ARN: &sec.ARN, Name: &sec.Name, CreatedDate: &v.Created, VersionId: &v.ID, VersionStages: noneIfEmpty(v.Stages),
		SecretString: v.Text, SecretBinary: v.Binary,
	}, nil
}

// lookup returns the version, with a value, that an id, a label or both mean;
// AWSCURRENT by default.
func (sec *secret) lookup(id, stage *string) (*version, error) {
	if id == nil {
		label := current
		if stage != nil {
			label = *stage
		}
		if v := sec.holder(label); v != nil && v.valued() {
			return v, nil
		}
		return nil, noValue("staging label: " + label)
	}
	v := sec.version(*id)
	switch {
	case v == nil:
		return nil, noValue("VersionId: " + *id)
	case stage != nil && !v.has(*stage):
		return nil, badRequest("You provided a VersionStage that is not associated to the provided VersionId.")
	case !v.valued():
		return nil, noValue("VersionId: " + *id)
	default:
		return v, nil
	}
}

func noValue(what string) error {
	return &wire.Error{Code: "ResourceNotFoundException", Message: "Secrets Manager can't find the specified secret value for " + what}
}

func (s *Service) batchGetSecretValue(in *api.BatchGetSecretValueInput) (*api.BatchGetSecretValueOutput, error) {
	switch {
	case (len(in.SecretIdList) == 0) == (len(in.Filters) == 0):
		return nil, badParameter("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	case in.MaxResults != nil && len(in.Filters) == 0:
		return nil, badParameter("'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.")
	}
	if err := within("secretIdList", fmt.Sprintf("'%v'", in.SecretIdList), len(in.SecretIdList), 0, 20); err != nil {
		return nil, err
	}
	if err := between("maxResults", in.MaxResults, 1, 20); err != nil {
		return nil, err
	}
	match, err := newFilter(in.Filters)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &api.BatchGetSecretValueOutput{SecretValues: []types.SecretValueEntry{}, Errors: []types.APIErrorType{}}
	ids := in.SecretIdList
	if len(in.Filters) > 0 {
		found := slices.DeleteFunc(s.sorted(), func(sec *secret) bool { return sec.deleted() || !match(sec) })
		found, out.NextToken, err = page(found, in.NextToken, int(aws.ToInt32(in.MaxResults)), 20, func(sec *secret) string { return sec.ARN })
		if err != nil {
			return nil, err
		}
		for _, sec := range found {
			ids = append(ids, sec.ARN)
		}
	}
	for _, id := range ids {
		v, err := s.read(&id, nil, nil)
		if err != nil {
			out.Errors = append(out.Errors, entryError(id, err))
			continue
		}
		out.SecretValues = append(out.SecretValues, types.SecretValueEntry{
			ARN: v.ARN, Name: v.Name, CreatedDate: v.CreatedDate, VersionId: v.VersionId, VersionStages: v.VersionStages,
			SecretString: v.SecretString, SecretBinary: v.SecretBinary,
		})
	}
	return out, nil
}

func nonEmpty(s *string) *string {
	if s == nil || *s == "" {
		return nil
	}
	return s
}

func noneIfEmpty(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}
