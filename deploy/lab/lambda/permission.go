package lambda

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

var statementID = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,100}$`)

// https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
func (s *Service) addPermission(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Action, Principal, SourceAccount, SourceArn, StatementId string }
	if err := decode(r, &in); err != nil {
		return err
	}
	if !statementID.MatchString(in.StatementId) || in.Action == "" || in.Principal == "" {
		return invalidParameter("Action, Principal and a StatementId of letters, digits, - and _ are required.")
	}
	return s.granted(r, func(arn string) error {
		if s.grants[arn][in.StatementId] != nil {
			return conflict("The statement id (" + in.StatementId + ") provided already exists. Please provide a new statement id, or remove the existing statement.")
		}
		statement := map[string]any{"Sid": in.StatementId, "Effect": "Allow", "Action": in.Action, "Resource": arn}
		switch {
		case in.Principal == "*":
			statement["Principal"] = "*"
		case strings.HasSuffix(in.Principal, ".amazonaws.com"):
			statement["Principal"] = map[string]string{"Service": in.Principal}
		default:
			statement["Principal"] = map[string]string{"AWS": in.Principal}
		}
		condition := map[string]any{}
		if in.SourceAccount != "" {
			condition["StringEquals"] = map[string]string{"AWS:SourceAccount": in.SourceAccount}
		}
		if in.SourceArn != "" {
			condition["ArnLike"] = map[string]string{"AWS:SourceArn": in.SourceArn}
		}
		if len(condition) > 0 {
			statement["Condition"] = condition
		}
		text, err := json.Marshal(statement)
		if err != nil {
			return err
		}
		if err := s.grant(arn, in.StatementId, text); err != nil {
			return err
		}
		return writeJSON(w, http.StatusCreated, map[string]string{"Statement": string(text)})
	})
}

// https://docs.aws.amazon.com/lambda/latest/api/API_RemovePermission.html
func (s *Service) removePermission(w http.ResponseWriter, r *http.Request) error {
	return s.granted(r, func(arn string) error {
		id := r.PathValue("sid")
		if s.grants[arn][id] == nil {
			return notFound("Statement " + id + " is not found in resource policy.")
		}
		if err := s.grant(arn, id, nil); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// https://docs.aws.amazon.com/lambda/latest/api/API_GetPolicy.html
func (s *Service) getPolicy(w http.ResponseWriter, r *http.Request) error {
	return s.granted(r, func(arn string) error {
		policy, err := s.policy(arn)
		if err != nil {
			return err
		}
		if policy == nil {
			return notFound("The resource you requested does not exist.")
		}
		return writeJSON(w, http.StatusOK, map[string]string{"Policy": string(policy)})
	})
}

// granted finds the function or the alias of a request by the ARN that its
// policy has.
func (s *Service) granted(r *http.Request, do func(arn string) error) error {
	s.setup.Lock()
	defer s.setup.Unlock()
	_, arn, err := s.resolve(r.PathValue("name"), r.URL.Query().Get("Qualifier"))
	if err != nil {
		return err
	}
	return do(arn)
}

// grant adds a statement to the policy of an ARN, or takes it away for nil. A
// policy that is refused leaves all as it was. The caller holds setup.
func (s *Service) grant(arn, id string, statement json.RawMessage) error {
	before := s.grants[arn]
	after := maps.Clone(before)
	if after == nil {
		after = map[string]json.RawMessage{}
	}
	if after[id] = statement; statement == nil {
		delete(after, id)
	}
	s.grants[arn] = after
	policy, err := s.policy(arn)
	if err == nil {
		err = s.options.Policy(arn, policy)
	}
	if err != nil {
		s.grants[arn] = before
		return invalidParameter(err.Error())
	}
	return nil
}

// Grant adds a statement to the policy of a function or an alias by its ARN, or
// takes it away for nil, and returns the whole policy, nil for none.
func (s *Service) Grant(arn, id string, statement json.RawMessage) (json.RawMessage, error) {
	s.setup.Lock()
	defer s.setup.Unlock()
	if err := s.grant(arn, id, statement); err != nil {
		return nil, err
	}
	return s.policy(arn)
}

// policy returns the policy of an ARN, nil if it has no statement.
func (s *Service) policy(arn string) (json.RawMessage, error) {
	var statements []json.RawMessage
	for _, id := range slices.Sorted(maps.Keys(s.grants[arn])) {
		statements = append(statements, s.grants[arn][id])
	}
	if len(statements) == 0 {
		return nil, nil
	}
	return json.Marshal(map[string]any{"Version": "2012-10-17", "Id": "default", "Statement": statements})
}
