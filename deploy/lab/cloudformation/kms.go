package cloudformation

import (
	"encoding/json"
)

// kmsKinds are keys without a service: nothing is encrypted in the lab, but a
// key's policy counts.
var kmsKinds = map[string]kind{
	"AWS::KMS::Key":   define(definition[keyProperties]{attributes: []string{"Arn", "KeyId"}, create: createKey, update: updateKey, remove: removeKey}),
	"AWS::KMS::Alias": kept("AWS::KMS::Alias", func(_ *task, p *keyAliasProperties) string { return p.AliasName }, nil),
}

type keyProperties struct {
	Description          string
	Enabled              bool
	EnableKeyRotation    bool
	KeyPolicy            document
	KeySpec              string `cfn:"fixed"`
	KeyUsage             string `cfn:"fixed"`
	MultiRegion          bool   `cfn:"fixed"`
	PendingWindowInDays  int64
	RotationPeriodInDays int64
	Tags                 []Tag
}

func createKey(t *task, p *keyProperties) (entity, error) {
	id := t.uuid("key")
	e := entity{ID: id, Attributes: map[string]string{"Arn": t.arn("kms", "key/"+id), "KeyId": id}}
	return updateKey(t, e, nil, p)
}

func updateKey(t *task, e entity, _, p *keyProperties) (entity, error) {
	return e, t.options.Policies.PutResourcePolicy(e.Attributes["Arn"], json.RawMessage(p.KeyPolicy))
}

func removeKey(t *task, e entity, _ *keyProperties) error {
	return t.options.Policies.PutResourcePolicy(e.Attributes["Arn"], nil)
}

type keyAliasProperties struct {
	AliasName   string `cfn:"required,name"`
	TargetKeyId string `cfn:"required"`
}
