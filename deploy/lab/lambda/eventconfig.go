package lambda

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// eventConfig says what becomes of the events of a function or an alias.
// https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
type eventConfig struct {
	FunctionARN              string  `json:"FunctionArn"`
	LastModified             float64 // epoch seconds
	MaximumRetryAttempts     *int    `json:",omitempty"`
	MaximumEventAgeInSeconds *int    `json:",omitempty"`
	DestinationConfig        destinationConfig
}

type destinationConfig struct {
	OnSuccess, OnFailure destination
}

type destination struct {
	Destination string `json:",omitempty"`
}

func (c eventConfig) retries() int {
	if c.MaximumRetryAttempts == nil {
		return defaultRetries
	}
	return *c.MaximumRetryAttempts
}

func (c eventConfig) age() time.Duration {
	if c.MaximumEventAgeInSeconds == nil {
		return defaultEventAge
	}
	return time.Duration(*c.MaximumEventAgeInSeconds) * time.Second
}

// config returns what holds for the events of a function by that ARN.
func (s *Service) config(arn string) eventConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.configs[configKey(arn)]
}

// configKey is a qualified ARN: $LATEST is the qualifier of an ARN without one.
func configKey(arn string) string {
	if strings.Count(arn, ":") == 6 {
		arn += ":" + latest
	}
	return arn
}

func (s *Service) servePutEventConfig(w http.ResponseWriter, r *http.Request) error {
	return s.changeEventConfig(w, r, func(key string) (eventConfig, error) { return eventConfig{FunctionARN: key}, nil })
}

// serveUpdateEventConfig changes what a request has and leaves the rest.
func (s *Service) serveUpdateEventConfig(w http.ResponseWriter, r *http.Request) error {
	return s.changeEventConfig(w, r, s.existing)
}

// existing returns the configuration of a key. The caller holds mu.
func (s *Service) existing(key string) (eventConfig, error) {
	c, ok := s.configs[key]
	if !ok {
		return c, &wire.Error{Code: "ResourceNotFoundException", Message: "The function " + key + " doesn't have an EventInvokeConfig", Status: http.StatusNotFound}
	}
	return c, nil
}

func (s *Service) changeEventConfig(w http.ResponseWriter, r *http.Request, base func(key string) (eventConfig, error)) error {
	f, key, err := s.eventConfigKey(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := base(key)
	if err != nil {
		return err
	}
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		return &wire.Error{Code: "InvalidRequestContentException", Message: "Could not parse request body into json: " + err.Error()}
	}
	if err := c.check(); err != nil {
		return err
	}
	if err := s.mayReach(f, c.DestinationConfig); err != nil {
		return err
	}
	c.FunctionARN, c.LastModified = key, float64(s.options.Async.Now().UnixMilli())/1000
	s.configs[key] = c
	return writeJSON(w, http.StatusOK, c)
}

var destinationARN = regexp.MustCompile(`^arn:aws[a-z-]*:(sqs|sns):[a-z0-9-]+:\d{12}:.+$`)

func (c eventConfig) check() error {
	for _, m := range []struct {
		name        string
		value       *int
		least, most int
	}{{"maximumRetryAttempts", c.MaximumRetryAttempts, 0, 2}, {"maximumEventAgeInSeconds", c.MaximumEventAgeInSeconds, 60, 21600}} {
		broken := ""
		switch {
		case m.value == nil:
		case *m.value < m.least:
			broken = fmt.Sprintf("greater than or equal to %d", m.least)
		case *m.value > m.most:
			broken = fmt.Sprintf("less than or equal to %d", m.most)
		}
		if broken != "" {
			return &wire.Error{Code: "ValidationException", Message: fmt.Sprintf("1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value %s", *m.value, m.name, broken)}
		}
	}
	for _, d := range []destination{c.DestinationConfig.OnSuccess, c.DestinationConfig.OnFailure} {
		if d.Destination != "" && !destinationARN.MatchString(d.Destination) {
			return invalidParameter("The lab has no destination like " + d.Destination + ": it must be the ARN of a queue or a topic.")
		}
	}
	return nil
}

// mayReach refuses a destination that the role of a function may not send to.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
func (s *Service) mayReach(f *function, c destinationConfig) error {
	for _, d := range []destination{c.OnSuccess, c.OnFailure} {
		action := "sqs:SendMessage"
		if strings.HasPrefix(d.Destination, "arn:aws:sns:") {
			action = "sns:Publish"
		}
		if d.Destination != "" && !s.options.MayCall(s.options.identity(f.Function), action, d.Destination) {
			_, name, _ := strings.Cut(action, ":")
			return invalidParameter("The function's execution role does not have permissions to call " + name + " on " + d.Destination)
		}
	}
	return nil
}

func (s *Service) serveEventConfig(w http.ResponseWriter, r *http.Request) error {
	_, key, err := s.eventConfigKey(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.existing(key)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, c)
}

func (s *Service) serveDeleteEventConfig(w http.ResponseWriter, r *http.Request) error {
	_, key, err := s.eventConfigKey(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.existing(key); err != nil {
		return err
	}
	delete(s.configs, key)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveEventConfigs answers the configurations of a function in one page.
func (s *Service) serveEventConfigs(w http.ResponseWriter, r *http.Request) error {
	f, _, err := s.resolve(r.PathValue("name"), "")
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []eventConfig{}
	for _, key := range slices.Sorted(maps.Keys(s.configs)) {
		if strings.HasPrefix(key, s.ARN(f.Name)+":") {
			list = append(list, s.configs[key])
		}
	}
	return writeJSON(w, http.StatusOK, map[string]any{"FunctionEventInvokeConfigs": list})
}

func (s *Service) eventConfigKey(r *http.Request) (*function, string, error) {
	f, arn, err := s.resolve(r.PathValue("name"), r.URL.Query().Get("Qualifier"))
	return f, configKey(arn), err
}
