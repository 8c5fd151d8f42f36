package ssm

import (
	"maps"
	"slices"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// tagged returns the tags of a resource. The lab has documents only; a node's
// tags belong to the node.
func (s *Service) tagged(kind types.ResourceTypeForTagging, id *string) (map[string]string, error) {
	c := &constraints{}
	c.required("resourceType", kind != "")
	enum(c, "resourceType", kind, kind.Values())
	c.required("resourceId", id != nil)
	if err := c.err(); err != nil {
		return nil, err
	}
	if kind != types.ResourceTypeForTaggingDocument {
		return nil, errResourceType()
	}
	d := s.documents[*id]
	if d == nil {
		return nil, errResourceID()
	}
	return d.tags, nil
}

func (s *Service) addTagsToResource(_ wire.Identity, in *awsssm.AddTagsToResourceInput) (*awsssm.AddTagsToResourceOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		tags[deref(t.Key)] = deref(t.Value)
	}
	return &awsssm.AddTagsToResourceOutput{}, nil
}

func (s *Service) removeTagsFromResource(_ wire.Identity, in *awsssm.RemoveTagsFromResourceInput) (*awsssm.RemoveTagsFromResourceOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	for _, key := range in.TagKeys {
		delete(tags, key)
	}
	return &awsssm.RemoveTagsFromResourceOutput{}, nil
}

func (s *Service) listTagsForResource(_ wire.Identity, in *awsssm.ListTagsForResourceInput) (*awsssm.ListTagsForResourceOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	return &awsssm.ListTagsForResourceOutput{TagList: tagList(tags)}, nil
}

// DocumentTags returns the tags of a document by its ARN, nil if there is none.
func (s *Service) DocumentTags(arn string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.document(arn)
	if err != nil {
		return nil
	}
	return maps.Clone(d.tags)
}

func tagList(tags map[string]string) []types.Tag {
	list := []types.Tag{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		list = append(list, types.Tag{Key: &key, Value: &value})
	}
	return list
}
