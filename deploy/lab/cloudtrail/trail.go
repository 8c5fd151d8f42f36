package cloudtrail

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
)

// trail is what CreateTrail made.
type trail struct {
	types.Trail
	logging          bool
	started, stopped time.Time
	selectors        []types.EventSelector
}

func (s *Service) newTrail(name, bucket string) *trail {
	no, yes := aws.Bool(false), aws.Bool(true)
	return &trail{
		Trail: types.Trail{
			Name: &name, S3BucketName: &bucket, TrailARN: aws.String(s.trailARN(name)), HomeRegion: &s.options.Region,
			IncludeGlobalServiceEvents: yes, IsMultiRegionTrail: no, IsOrganizationTrail: no,
			LogFileValidationEnabled: no, HasCustomEventSelectors: no, HasInsightSelectors: no,
		},
		selectors: []types.EventSelector{{
			ReadWriteType: types.ReadWriteTypeAll, IncludeManagementEvents: yes,
			DataResources: []types.DataResource{}, ExcludeManagementEventSources: []string{},
		}},
	}
}

func (s *Service) trailARN(name string) string {
	return "arn:aws:cloudtrail:" + s.options.Region + ":" + s.options.Account + ":trail/" + name
}

// passes reports whether a trail that logs wants a management event: without
// one, EventBridge gets none. The caller holds mu.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
func (s *Service) passes(reads bool) bool {
	without := types.ReadWriteTypeReadOnly
	if reads {
		without = types.ReadWriteTypeWriteOnly
	}
	for _, t := range s.trails {
		if t.logging && slices.ContainsFunc(t.selectors, func(e types.EventSelector) bool {
			return (e.IncludeManagementEvents == nil || *e.IncludeManagementEvents) && e.ReadWriteType != without
		}) {
			return true
		}
	}
	return false
}

var validTrail = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,126}[A-Za-z0-9]$`)

// find returns a trail by name or ARN. The caller holds mu.
func (s *Service) find(name *string) (*trail, error) {
	n := aws.ToString(name)
	if t := s.trails[strings.TrimPrefix(n, s.trailARN(""))]; t != nil {
		return t, nil
	}
	return nil, refusal("TrailNotFoundException", "Unknown trail: "+n+" for the user: "+s.options.Account)
}

func (s *Service) createTrail(in *api.CreateTrailInput) (*api.CreateTrailOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, bucket := aws.ToString(in.Name), aws.ToString(in.S3BucketName)
	switch {
	case !validTrail.MatchString(name):
		return nil, refusal("InvalidTrailNameException", "Trail name must have 3 to 128 letters, digits, periods, underscores and dashes.")
	case s.trails[name] != nil:
		return nil, refusal("TrailAlreadyExistsException", "Trail "+name+" already exists for customer: "+s.options.Account)
	}
	t := s.newTrail(name, bucket)
	if err := s.change(t, &api.UpdateTrailInput{
		S3BucketName: &bucket, S3KeyPrefix: in.S3KeyPrefix, SnsTopicName: in.SnsTopicName, KmsKeyId: in.KmsKeyId,
		IsMultiRegionTrail: in.IsMultiRegionTrail, IncludeGlobalServiceEvents: in.IncludeGlobalServiceEvents,
		EnableLogFileValidation: in.EnableLogFileValidation,
	}); err != nil {
		return nil, err
	}
	s.trails[name] = t
	return &api.CreateTrailOutput{
		Name: t.Name, TrailARN: t.TrailARN, S3BucketName: t.S3BucketName, S3KeyPrefix: t.S3KeyPrefix, KmsKeyId: t.KmsKeyId,
		SnsTopicARN: t.SnsTopicARN, IncludeGlobalServiceEvents: t.IncludeGlobalServiceEvents, IsMultiRegionTrail: t.IsMultiRegionTrail,
		IsOrganizationTrail: t.IsOrganizationTrail, LogFileValidationEnabled: t.LogFileValidationEnabled,
	}, nil
}

// updateTrail changes what a request has and leaves the rest.
func (s *Service) updateTrail(in *api.UpdateTrailInput) (*api.UpdateTrailOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.Name)
	if err != nil {
		return nil, err
	}
	if err := s.change(t, in); err != nil {
		return nil, err
	}
	return &api.UpdateTrailOutput{
		Name: t.Name, TrailARN: t.TrailARN, S3BucketName: t.S3BucketName, S3KeyPrefix: t.S3KeyPrefix, KmsKeyId: t.KmsKeyId,
		SnsTopicARN: t.SnsTopicARN, IncludeGlobalServiceEvents: t.IncludeGlobalServiceEvents, IsMultiRegionTrail: t.IsMultiRegionTrail,
		IsOrganizationTrail: t.IsOrganizationTrail, LogFileValidationEnabled: t.LogFileValidationEnabled,
	}, nil
}

// change puts settings into a trail whose bucket takes its log files then. An
// empty text takes a setting away.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-s3-bucket-policy-for-cloudtrail.html
func (s *Service) change(t *trail, in *api.UpdateTrailInput) error {
	is := t.Trail
	topic := in.SnsTopicName
	if name := aws.ToString(topic); name != "" && !strings.HasPrefix(name, "arn:") {
		topic = aws.String("arn:aws:sns:" + s.options.Region + ":" + s.options.Account + ":" + name)
	}
	for to, text := range map[**string]*string{
		&is.S3BucketName: in.S3BucketName, &is.S3KeyPrefix: in.S3KeyPrefix, &is.KmsKeyId: in.KmsKeyId, &is.SnsTopicARN: topic,
	} {
		if text != nil {
			if *to = text; *text == "" {
				*to = nil
			}
		}
	}
	for to, flag := range map[**bool]*bool{
		&is.IsMultiRegionTrail: in.IsMultiRegionTrail, &is.IncludeGlobalServiceEvents: in.IncludeGlobalServiceEvents,
		&is.LogFileValidationEnabled: in.EnableLogFileValidation,
	} {
		if flag != nil {
			*to = flag
		}
	}
	switch bucket := aws.ToString(is.S3BucketName); {
	case bucket == "":
		return refusal("InvalidS3BucketNameException", "Bucket name cannot be blank!")
	case !s.options.MayWrite(bucket, aws.ToString(is.S3KeyPrefix), *is.TrailARN):
		return refusal("InsufficientS3BucketPolicyException", "Incorrect S3 bucket policy is detected for bucket: "+bucket)
	}
	t.Trail = is
	return nil
}

func (s *Service) deleteTrail(in *api.DeleteTrailInput) (*api.DeleteTrailOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.Name)
	if err != nil {
		return nil, err
	}
	delete(s.trails, *t.Name)
	return &api.DeleteTrailOutput{}, nil
}

// describeTrails describes the trails that were named, or all; one that does
// not exist is left out.
func (s *Service) describeTrails(in *api.DescribeTrailsInput) (*api.DescribeTrailsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &api.DescribeTrailsOutput{TrailList: []types.Trail{}}
	for _, name := range slices.Sorted(maps.Keys(s.trails)) {
		t := s.trails[name]
		if len(in.TrailNameList) == 0 || slices.Contains(in.TrailNameList, name) || slices.Contains(in.TrailNameList, *t.TrailARN) {
			out.TrailList = append(out.TrailList, t.Trail)
		}
	}
	return out, nil
}

func (s *Service) listTrails(*api.ListTrailsInput) (*api.ListTrailsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &api.ListTrailsOutput{Trails: []types.TrailInfo{}}
	for _, name := range slices.Sorted(maps.Keys(s.trails)) {
		t := s.trails[name]
		out.Trails = append(out.Trails, types.TrailInfo{HomeRegion: t.HomeRegion, Name: t.Name, TrailARN: t.TrailARN})
	}
	return out, nil
}

func (s *Service) getTrail(in *api.GetTrailInput) (*api.GetTrailOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.Name)
	if err != nil {
		return nil, err
	}
	described := t.Trail
	return &api.GetTrailOutput{Trail: &described}, nil
}

func (s *Service) getTrailStatus(in *api.GetTrailStatusInput) (*api.GetTrailStatusOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.Name)
	if err != nil {
		return nil, err
	}
	out := &api.GetTrailStatusOutput{IsLogging: aws.Bool(t.logging), TimeLoggingStarted: aws.String(""), TimeLoggingStopped: aws.String("")}
	const form = "2006-01-02T15:04:05Z"
	if at := t.started.UTC(); !at.IsZero() {
		out.StartLoggingTime, out.TimeLoggingStarted = &at, aws.String(at.Format(form))
	}
	if at := t.stopped.UTC(); !at.IsZero() {
		out.StopLoggingTime, out.TimeLoggingStopped = &at, aws.String(at.Format(form))
	}
	return out, nil
}

func (s *Service) startLogging(in *api.StartLoggingInput) (*api.StartLoggingOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.Name)
	if err == nil {
		t.logging, t.started = true, s.options.Now()
	}
	return &api.StartLoggingOutput{}, err
}

func (s *Service) stopLogging(in *api.StopLoggingInput) (*api.StopLoggingOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.Name)
	if err == nil {
		t.logging, t.stopped = false, s.options.Now()
	}
	return &api.StopLoggingOutput{}, err
}

func (s *Service) putEventSelectors(in *api.PutEventSelectorsInput) (*api.PutEventSelectorsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.TrailName)
	if err != nil {
		return nil, err
	}
	if len(in.AdvancedEventSelectors) > 0 || len(in.EventSelectors) < 1 || len(in.EventSelectors) > 5 {
		return nil, refusal("InvalidEventSelectorsException", "The lab takes one to five basic event selectors.")
	}
	for _, e := range in.EventSelectors {
		if e.ReadWriteType != "" && !slices.Contains(e.ReadWriteType.Values(), e.ReadWriteType) {
			return nil, refusal("InvalidEventSelectorsException", "Invalid read/write type: "+string(e.ReadWriteType))
		}
	}
	t.selectors, t.HasCustomEventSelectors = in.EventSelectors, aws.Bool(true)
	return &api.PutEventSelectorsOutput{TrailARN: t.TrailARN, EventSelectors: t.selectors}, nil
}

func (s *Service) getEventSelectors(in *api.GetEventSelectorsInput) (*api.GetEventSelectorsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.TrailName)
	if err != nil {
		return nil, err
	}
	return &api.GetEventSelectorsOutput{TrailARN: t.TrailARN, EventSelectors: t.selectors}, nil
}
