package secretsmanager

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// policy is as much of a resource policy as the lab looks at.
type policy struct {
	Version   string
	Statement []struct {
		Effect    string
		Principal json.RawMessage
		Action    json.RawMessage
		NotAction json.RawMessage
	}
}

func (s *Service) putResourcePolicy(in *api.PutResourcePolicyInput) (*api.PutResourcePolicyOutput, error) {
	if err := required("resourcePolicy", in.ResourcePolicy, 1, 20480); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	if err := checkPolicy(*in.ResourcePolicy, aws.ToBool(in.BlockPublicPolicy)); err != nil {
		return nil, err
	}
	if err := s.options.Policy(sec.ARN, json.RawMessage(*in.ResourcePolicy)); err != nil {
		return nil, &wire.Error{Code: "MalformedPolicyDocumentException", Message: err.Error()}
	}
	return commit(s, sec, func() (*api.PutResourcePolicyOutput, error) {
		sec.Policy = in.ResourcePolicy
		return &api.PutResourcePolicyOutput{ARN: &sec.ARN, Name: &sec.Name}, nil
	})
}

// checkPolicy refuses what is no policy, and one for everybody where that is
// to be blocked. The words are ours.
func checkPolicy(text string, blockPublic bool) error {
	var p policy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return &wire.Error{Code: "MalformedPolicyDocumentException", Message: "This resource policy contains invalid Json"}
	}
	if len(p.Statement) == 0 {
		return &wire.Error{Code: "MalformedPolicyDocumentException", Message: "This resource policy contains a syntax error."}
	}
	for _, st := range p.Statement {
		if st.Effect != "Allow" && st.Effect != "Deny" || st.Principal == nil || st.Action == nil && st.NotAction == nil {
			return &wire.Error{Code: "MalformedPolicyDocumentException", Message: "This resource policy contains a syntax error."}
		}
		if public := string(st.Principal) == `"*"` || string(st.Principal) == `{"AWS":"*"}`; public && st.Effect == "Allow" && blockPublic {
			return &wire.Error{Code: "PublicPolicyException", Message: "You can't attach a resource policy that grants broad access to the secret."}
		}
	}
	return nil
}

func (s *Service) getResourcePolicy(in *api.GetResourcePolicyInput) (*api.GetResourcePolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId) // refuses deleted secrets, as AWS does
	if err != nil {
		return nil, err
	}
	return &api.GetResourcePolicyOutput{ARN: &sec.ARN, Name: &sec.Name, ResourcePolicy: sec.Policy}, nil
}

func (s *Service) deleteResourcePolicy(in *api.DeleteResourcePolicyInput) (*api.DeleteResourcePolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	if err := s.options.Policy(sec.ARN, nil); err != nil {
		return nil, err
	}
	return commit(s, sec, func() (*api.DeleteResourcePolicyOutput, error) {
		sec.Policy = nil
		return &api.DeleteResourcePolicyOutput{ARN: &sec.ARN, Name: &sec.Name}, nil
	})
}
