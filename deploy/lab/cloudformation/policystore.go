package cloudformation

import (
	"encoding/json"
	"maps"
	"sync"
)

// PolicyStore implements [Policies]: it keeps what it is given and judges
// nothing. Make it with [NewPolicyStore].
type PolicyStore struct {
	mu        sync.Mutex
	roles     map[string]Role
	managed   map[string]json.RawMessage
	resources map[string]json.RawMessage
}

// NewPolicyStore returns an empty store.
func NewPolicyStore() *PolicyStore {
	return &PolicyStore{roles: map[string]Role{}, managed: map[string]json.RawMessage{}, resources: map[string]json.RawMessage{}}
}

// PutRole implements [Policies].
func (s *PolicyStore) PutRole(r Role) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[r.Name] = r
	return nil
}

// DeleteRole implements [Policies].
func (s *PolicyStore) DeleteRole(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.roles, name)
}

// PutManagedPolicy implements [Policies].
func (s *PolicyStore) PutManagedPolicy(arn string, document json.RawMessage) error {
	s.put(s.managed, arn, document)
	return nil
}

// PutResourcePolicy implements [Policies].
func (s *PolicyStore) PutResourcePolicy(arn string, document json.RawMessage) error {
	s.put(s.resources, arn, document)
	return nil
}

func (s *PolicyStore) put(m map[string]json.RawMessage, arn string, document json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m[arn] = document; document == nil {
		delete(m, arn)
	}
}

// Roles returns the roles by name.
func (s *PolicyStore) Roles() map[string]Role {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.roles)
}

// Managed returns the managed policies by ARN.
func (s *PolicyStore) Managed() map[string]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.managed)
}

// ResourcePolicies returns the policies of functions, aliases and keys by ARN.
func (s *PolicyStore) ResourcePolicies() map[string]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.resources)
}
