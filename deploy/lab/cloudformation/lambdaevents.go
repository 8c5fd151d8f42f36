package cloudformation

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/sqs"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// lambdaEventKinds are what has functions invoked, and what becomes of their
// events.
var lambdaEventKinds = map[string]kind{
	"AWS::Lambda::EventSourceMapping": define(definition[mappingProperties]{attributes: []string{"EventSourceMappingArn", "Id"}, create: createMapping, update: updateMapping, remove: removeMapping}),
	"AWS::Lambda::EventInvokeConfig":  define(definition[invokeProperties]{create: createInvokeConfig, update: updateInvokeConfig, remove: removeInvokeConfig}),
}

// mappingProperties are those of a queue. Filters are not known.
type mappingProperties struct {
	BatchSize                      int64
	Enabled                        *bool
	EventSourceArn                 string `cfn:"required,fixed"`
	FunctionName                   string `cfn:"required"`
	FunctionResponseTypes          []string
	MaximumBatchingWindowInSeconds int64
	ScalingConfig                  struct{ MaximumConcurrency int64 }
	Tags                           []Tag
}

// mapping is an event source mapping that there is.
type mapping struct {
	queue, function string // ARNs
	stop            func()
}

func createMapping(t *task, p *mappingProperties) (entity, error) {
	id := t.uuid("mapping")
	e := entity{ID: id, Attributes: map[string]string{"Id": id, "EventSourceMappingArn": t.arn("lambda", "event-source-mapping:"+id)}}
	return updateMapping(t, e, nil, p)
}

// updateMapping begins with the new reader before it ends the old one, which
// finishes what it has begun: no message is left alone, and when the new one is
// refused the old one goes on.
func updateMapping(t *task, e entity, _, p *mappingProperties) (entity, error) {
	src, err := t.source(p)
	if err != nil {
		return e, err
	}
	is := mapping{queue: src.QueueARN, function: src.FunctionARN}
	t.Service.mu.Lock()
	for id, other := range t.mappings {
		if id != e.ID && other.queue == is.queue && other.function == is.function {
			t.Service.mu.Unlock()
			base, _ := splitFunction(is.function)
			return e, &refusal{Service: "Lambda", Code: "ResourceConflictException", Status: http.StatusConflict, RequestID: "n/a",
				Message: `An event source mapping with SQS arn (" ` + is.queue + ` ") and function (" ` + base +
					` ") already exists. Please update or delete the existing mapping with UUID ` + id}
		}
	}
	t.Service.mu.Unlock()
	if is.stop, err = t.options.Sources.AddSource(src); err != nil {
		return e, sourceRefused(err)
	}
	t.Service.mu.Lock()
	was := t.mappings[e.ID]
	t.mappings[e.ID] = is
	t.Service.mu.Unlock()
	if was.stop != nil {
		was.stop()
	}
	return e, nil
}

func removeMapping(t *task, e entity, _ *mappingProperties) error {
	t.Service.mu.Lock()
	was := t.mappings[e.ID]
	delete(t.mappings, e.ID)
	t.Service.mu.Unlock()
	if was.stop != nil {
		was.stop()
	}
	return nil
}

// source is a mapping as the reader of queues takes it.
func (t *task) source(p *mappingProperties) (sqs.Source, error) {
	f, err := t.function(p.FunctionName)
	if err != nil {
		return sqs.Source{}, err
	}
	arn := t.options.Functions.ARN(f.Name)
	if _, qualifier := splitFunction(p.FunctionName); qualifier != "" {
		if arn += ":" + qualifier; !qualifies(f, qualifier) {
			return sqs.Source{}, &refusal{Service: "Lambda", Code: "ResourceNotFoundException", Status: http.StatusNotFound, RequestID: "n/a",
				Message: "Function not found: " + arn}
		}
	}
	for _, kind := range p.FunctionResponseTypes {
		if kind != "ReportBatchItemFailures" {
			return sqs.Source{}, invalid("the function's response type " + kind + " is not known")
		}
	}
	return sqs.Source{
		QueueARN: p.EventSourceArn, FunctionARN: arn, BatchSize: int(p.BatchSize), Window: time.Duration(p.MaximumBatchingWindowInSeconds) * time.Second,
		ReportBatchItemFailures: len(p.FunctionResponseTypes) > 0, MaximumConcurrency: int(p.ScalingConfig.MaximumConcurrency),
		FunctionTimeout: f.Timeout, Disabled: p.Enabled != nil && !*p.Enabled,
	}, nil
}

// qualifies tells whether a function has an alias or a version of that name.
func qualifies(f lambda.Function, qualifier string) bool {
	n, err := strconv.Atoi(qualifier)
	return qualifier == "$LATEST" || slices.Contains(f.Aliases, qualifier) || err == nil && n >= 1 && n <= f.Versions
}

func invalid(message string) *refusal {
	return &refusal{Service: "Lambda", Code: "InvalidParameterValueException", Status: http.StatusBadRequest, RequestID: "n/a", Message: message}
}

// sourceRefused words an error as Lambda does: the reader of queues has no wire
// protocol of its own.
func sourceRefused(err error) error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return invalid(e.Message)
	}
	return invalid(err.Error())
}

// invokeProperties say what becomes of the events of a function or an alias.
type invokeProperties struct {
	DestinationConfig        destinations
	FunctionName             string `cfn:"required,fixed"`
	MaximumEventAgeInSeconds *int64
	MaximumRetryAttempts     *int64
	Qualifier                string `cfn:"required,fixed"`
}

// destinations are those that PutFunctionEventInvokeConfig takes.
type destinations struct {
	OnFailure *destination `json:",omitempty"`
	OnSuccess *destination `json:",omitempty"`
}

type destination struct {
	Destination string `cfn:"required"`
}

// path is that of the configuration in the REST API.
func (p *invokeProperties) path() string {
	base, _ := splitFunction(p.FunctionName)
	return "/2019-09-25/functions/" + url.PathEscape(base) + "/event-invoke-config?Qualifier=" + url.QueryEscape(p.Qualifier)
}

func createInvokeConfig(t *task, p *invokeProperties) (entity, error) {
	base, _ := splitFunction(p.FunctionName)
	e := entity{ID: base + "|" + p.Qualifier}
	if _, err := t.do(t, "lambda", http.MethodGet, p.path(), nil, nil); err == nil {
		return entity{}, alreadyExists("AWS::Lambda::EventInvokeConfig", e.ID)
	}
	return updateInvokeConfig(t, e, nil, p)
}

// updateInvokeConfig puts the whole: what is not given is the default again.
func updateInvokeConfig(t *task, e entity, _, p *invokeProperties) (entity, error) {
	in := map[string]any{"DestinationConfig": p.DestinationConfig}
	if n := p.MaximumEventAgeInSeconds; n != nil {
		in["MaximumEventAgeInSeconds"] = *n
	}
	if n := p.MaximumRetryAttempts; n != nil {
		in["MaximumRetryAttempts"] = *n
	}
	body, err := marshal(in)
	if err != nil {
		return e, err
	}
	_, err = t.do(t, "lambda", http.MethodPut, p.path(), http.Header{"Content-Type": {"application/json"}}, body)
	return e, err
}

func removeInvokeConfig(t *task, _ entity, p *invokeProperties) error {
	_, err := t.do(t, "lambda", http.MethodDelete, p.path(), nil, nil)
	if isCode(err, "ResourceNotFoundException") {
		return nil
	}
	return err
}
