package cloudformation

import "cmp"

var secretsManagerKinds = map[string]kind{
	"AWS::SecretsManager::Secret":           define(definition[secretProperties]{attributes: []string{"Id"}, create: createSecret, update: updateSecret, remove: removeSecret}),
	"AWS::SecretsManager::RotationSchedule": define(definition[rotationProperties]{attributes: []string{"Id"}, create: createRotation, update: updateRotation, remove: removeRotation}),
	"AWS::SecretsManager::ResourcePolicy":   define(definition[secretPolicyProperties]{attributes: []string{"Id"}, create: createSecretPolicy, update: updateSecretPolicy, remove: removeSecretPolicy}),
}

type secretProperties struct {
	Description  string
	KmsKeyId     string
	Name         string `cfn:"name"`
	SecretString *string
	Tags         []Tag
}

// secrets calls an action of Secrets Manager.
func (t *task) secrets(action string, in map[string]any, out any) error {
	for key, value := range in {
		if value == "" || value == nil {
			delete(in, key)
		}
	}
	return t.json(t, "secretsmanager", "secretsmanager."+action, in, out)
}

func createSecret(t *task, p *secretProperties) (entity, error) {
	in := map[string]any{
		"Name": cmp.Or(p.Name, t.name(255)), "Description": p.Description, "KmsKeyId": p.KmsKeyId,
		"ClientRequestToken": t.uuid("secret"),
	}
	if tags := t.tags(p.Tags); len(tags) > 0 {
		in["Tags"] = tags
	}
	if p.SecretString != nil {
		in["SecretString"] = *p.SecretString
	}
	var out struct{ ARN string }
	if err := t.secrets("CreateSecret", in, &out); err != nil {
		return entity{}, err
	}
	return entity{ID: out.ARN, Attributes: map[string]string{"Id": out.ARN}}, nil
}

// updateSecret leaves the value alone as long as the template's is the same: it
// is the rotation's.
func updateSecret(t *task, e entity, was, is *secretProperties) (entity, error) {
	in := map[string]any{"SecretId": e.ID, "Description": is.Description, "KmsKeyId": is.KmsKeyId, "ClientRequestToken": t.uuid("secret")}
	if is.SecretString != nil && (was.SecretString == nil || *was.SecretString != *is.SecretString) {
		in["SecretString"] = *is.SecretString
	}
	if err := t.secrets("UpdateSecret", in, nil); err != nil {
		return e, err
	}
	old, tags := t.tags(was.Tags), t.tags(is.Tags)
	if gone := goneTags(old, tags); len(gone) > 0 {
		if err := t.secrets("UntagResource", map[string]any{"SecretId": e.ID, "TagKeys": gone}, nil); err != nil {
			return e, err
		}
	}
	if len(tags) == 0 {
		return e, nil
	}
	return e, t.secrets("TagResource", map[string]any{"SecretId": e.ID, "Tags": tags}, nil)
}

// removeSecret deletes without a recovery window, as CloudFormation was seen to
// do.
func removeSecret(t *task, e entity, _ *secretProperties) error {
	err := t.secrets("DeleteSecret", map[string]any{"SecretId": e.ID, "ForceDeleteWithoutRecovery": true}, nil)
	if isCode(err, "ResourceNotFoundException") {
		return nil
	}
	return err
}

// rotationProperties has no hosted rotation function.
type rotationProperties struct {
	RotateImmediatelyOnUpdate *bool
	RotationLambdaARN         string
	RotationRules             struct {
		AutomaticallyAfterDays       int64
		Duration, ScheduleExpression string
	}
	SecretId string `cfn:"required,fixed"`
}

func createRotation(t *task, p *rotationProperties) (entity, error) {
	return updateRotation(t, entity{ID: p.SecretId, Attributes: map[string]string{"Id": p.SecretId}}, nil, p)
}

func updateRotation(t *task, e entity, _, p *rotationProperties) (entity, error) {
	in := map[string]any{"SecretId": p.SecretId, "RotationLambdaARN": p.RotationLambdaARN, "ClientRequestToken": t.uuid("rotation")}
	rules := map[string]any{}
	if p.RotationRules.AutomaticallyAfterDays != 0 {
		rules["AutomaticallyAfterDays"] = p.RotationRules.AutomaticallyAfterDays
	}
	for key, value := range map[string]string{"Duration": p.RotationRules.Duration, "ScheduleExpression": p.RotationRules.ScheduleExpression} {
		if value != "" {
			rules[key] = value
		}
	}
	if len(rules) > 0 {
		in["RotationRules"] = rules
	}
	if p.RotateImmediatelyOnUpdate != nil {
		in["RotateImmediately"] = *p.RotateImmediatelyOnUpdate
	}
	return e, t.secrets("RotateSecret", in, nil)
}

func removeRotation(t *task, _ entity, p *rotationProperties) error {
	err := t.secrets("CancelRotateSecret", map[string]any{"SecretId": p.SecretId}, nil)
	if isCode(err, "ResourceNotFoundException", "InvalidRequestException") {
		return nil
	}
	return err
}

type secretPolicyProperties struct {
	BlockPublicPolicy bool
	ResourcePolicy    document `cfn:"required"`
	SecretId          string   `cfn:"required,fixed"`
}

func createSecretPolicy(t *task, p *secretPolicyProperties) (entity, error) {
	return updateSecretPolicy(t, entity{ID: p.SecretId, Attributes: map[string]string{"Id": p.SecretId}}, nil, p)
}

func updateSecretPolicy(t *task, e entity, _, p *secretPolicyProperties) (entity, error) {
	return e, t.secrets("PutResourcePolicy", map[string]any{
		"SecretId": p.SecretId, "ResourcePolicy": string(p.ResourcePolicy), "BlockPublicPolicy": p.BlockPublicPolicy,
	}, nil)
}

func removeSecretPolicy(t *task, _ entity, p *secretPolicyProperties) error {
	err := t.secrets("DeleteResourcePolicy", map[string]any{"SecretId": p.SecretId}, nil)
	if isCode(err, "ResourceNotFoundException", "InvalidRequestException") {
		return nil
	}
	return err
}
