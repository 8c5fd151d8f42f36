package lambda

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// actions are the operations of the REST API by their routes.
// https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
var actions = map[string]string{
	"POST /2015-03-31/functions/{name}/invocations":  "Invoke",
	"GET /2015-03-31/functions":                      "ListFunctions",
	"GET /2015-03-31/functions/{$}":                  "ListFunctions",
	"GET /2015-03-31/functions/{name}":               "GetFunction",
	"GET /2015-03-31/functions/{name}/configuration": "GetFunctionConfiguration",

	"GET /2016-08-19/account-settings":     "GetAccountSettings",
	"GET /2016-08-19/account-settings/{$}": "GetAccountSettings",

	"POST /2015-03-31/functions":                          "CreateFunction",
	"PUT /2015-03-31/functions/{name}/code":               "UpdateFunctionCode",
	"PUT /2015-03-31/functions/{name}/configuration":      "UpdateFunctionConfiguration",
	"DELETE /2015-03-31/functions/{name}":                 "DeleteFunction",
	"PUT /2017-10-31/functions/{name}/concurrency":        "PutFunctionConcurrency",
	"DELETE /2017-10-31/functions/{name}/concurrency":     "DeleteFunctionConcurrency",
	"POST /2015-03-31/functions/{name}/versions":          "PublishVersion",
	"POST /2015-03-31/functions/{name}/aliases":           "CreateAlias",
	"GET /2015-03-31/functions/{name}/aliases/{alias}":    "GetAlias",
	"DELETE /2015-03-31/functions/{name}/aliases/{alias}": "DeleteAlias",
	"POST /2015-03-31/functions/{name}/policy":            "AddPermission",
	"GET /2015-03-31/functions/{name}/policy":             "GetPolicy",
	"DELETE /2015-03-31/functions/{name}/policy/{sid}":    "RemovePermission",

	"PUT /2019-09-25/functions/{name}/event-invoke-config":      "PutFunctionEventInvokeConfig",
	"POST /2019-09-25/functions/{name}/event-invoke-config":     "UpdateFunctionEventInvokeConfig",
	"GET /2019-09-25/functions/{name}/event-invoke-config":      "GetFunctionEventInvokeConfig",
	"DELETE /2019-09-25/functions/{name}/event-invoke-config":   "DeleteFunctionEventInvokeConfig",
	"GET /2019-09-25/functions/{name}/event-invoke-config/list": "ListFunctionEventInvokeConfigs",
}

// Handler returns the REST API of the service, to be served under "lambda".
func (s *Service) Handler() http.Handler {
	h := rest{mux: http.NewServeMux()}
	serve := map[string]func(http.ResponseWriter, *http.Request) error{
		"Invoke":                   s.serveInvoke,
		"ListFunctions":            s.serveList,
		"GetFunction":              s.serveFunction,
		"GetFunctionConfiguration": s.serveConfiguration,
		"GetAccountSettings":       s.serveAccount,

		"CreateFunction":              s.createFunction,
		"UpdateFunctionCode":          s.updateFunctionCode,
		"UpdateFunctionConfiguration": s.updateFunctionConfiguration,
		"DeleteFunction":              s.deleteFunction,
		"PutFunctionConcurrency":      s.putFunctionConcurrency,
		"DeleteFunctionConcurrency":   s.deleteFunctionConcurrency,
		"PublishVersion":              s.publishVersion,
		"CreateAlias":                 s.createAlias,
		"GetAlias":                    s.getAlias,
		"DeleteAlias":                 s.deleteAlias,
		"AddPermission":               s.addPermission,
		"GetPolicy":                   s.getPolicy,
		"RemovePermission":            s.removePermission,

		"PutFunctionEventInvokeConfig":    s.servePutEventConfig,
		"UpdateFunctionEventInvokeConfig": s.serveUpdateEventConfig,
		"GetFunctionEventInvokeConfig":    s.serveEventConfig,
		"DeleteFunctionEventInvokeConfig": s.serveDeleteEventConfig,
		"ListFunctionEventInvokeConfigs":  s.serveEventConfigs,
	}
	for pattern, action := range actions {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve[action](w, r); err != nil {
				writeError(w, err)
			}
		})
	}
	return h
}

// rest is a wire.Actioner, so that recorded calls speak of Invoke.
type rest struct{ mux *http.ServeMux }

func (h rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.Action(r) == "" {
		writeError(w, wire.UnknownOperation())
		return
	}
	h.mux.ServeHTTP(w, r)
}

func (h rest) Action(r *http.Request) string {
	_, pattern := h.mux.Handler(r)
	return actions[pattern]
}

// serveInvoke answers Invoke: with the function's answer, at once with 202 for
// an event, or with 204 for a dry run.
func (s *Service) serveInvoke(w http.ResponseWriter, r *http.Request) error {
	f, arn, err := s.resolve(r.PathValue("name"), r.URL.Query().Get("Qualifier"))
	if err != nil {
		return err
	}
	kind := r.Header.Get("X-Amz-Invocation-Type")
	limit := maxPayload
	if kind == "Event" {
		limit = maxEventPayload
	}
	payload, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if payload, err = checkPayload(payload, limit); err != nil {
		return err
	}
	id := wire.RequestFrom(r.Context()).ID
	if id == "" {
		id = newRequestID()
	}
	i := newInvocation(id, arn, payload)
	switch kind {
	case "", "RequestResponse":
		return s.invokeAndAnswer(w, r, f, i)
	case "Event":
		if err := s.queue(i); err != nil {
			return err
		}
		w.WriteHeader(http.StatusAccepted)
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	default:
		return &wire.Error{Code: "ValidationException", Message: "1 validation error detected: Value '" + kind +
			"' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"}
	}
	return nil
}

// invokeAndAnswer waits for the function. A caller that goes away does not end
// it.
func (s *Service) invokeAndAnswer(w http.ResponseWriter, r *http.Request, f *function, i *invocation) error {
	result, err := s.invoke(context.WithoutCancel(r.Context()), f, i)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amz-Executed-Version", latest)
	h.Set("X-Amzn-Trace-Id", i.trace)
	if result.FunctionError != "" {
		h.Set("X-Amz-Function-Error", result.FunctionError)
	}
	if r.Header.Get("X-Amz-Log-Type") == "Tail" {
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(result.LogTail))
	}
	_, _ = w.Write(result.Payload)
	return nil
}

// configuration is the FunctionConfiguration of the API, as far as functions
// have one here.
type configuration struct {
	FunctionName     string
	FunctionArn      string
	Runtime          string
	Role             string
	Handler          string
	Description      string
	Timeout          int // seconds, rounded up
	MemorySize       int
	LastModified     string
	Version          string
	Environment      *environment `json:",omitempty"`
	TracingConfig    map[string]string
	DeadLetterConfig *deadLetterConfig `json:",omitempty"`
	State            string
	LastUpdateStatus string
	PackageType      string
	Architectures    []string
	LoggingConfig    loggingConfig
}

type loggingConfig struct {
	LogFormat           string `json:",omitempty"`
	ApplicationLogLevel string `json:",omitempty"`
	LogGroup            string `json:",omitempty"`
}

type deadLetterConfig struct {
	TargetARN string `json:"TargetArn"`
}

type environment struct{ Variables map[string]string }

func (s *Service) describe(f *function, arn string) configuration {
	c := configuration{
		FunctionName:     f.Name,
		FunctionArn:      arn,
		Runtime:          "provided.al2023",
		Role:             s.options.roleARN(f.Function),
		Handler:          f.Handler,
		Timeout:          int((f.Timeout + time.Second - 1) / time.Second),
		MemorySize:       f.MemoryMB,
		LastModified:     f.modified.UTC().Format("2006-01-02T15:04:05.000-0700"),
		Version:          latest,
		TracingConfig:    map[string]string{"Mode": "PassThrough"},
		State:            "Active",
		LastUpdateStatus: "Successful",
		PackageType:      "Zip",
		Architectures:    []string{cmp.Or(f.Architecture, machineArchitecture())},
		LoggingConfig: loggingConfig{
			LogFormat: cmp.Or(f.LogFormat, "Text"), ApplicationLogLevel: f.LogLevel, LogGroup: cmp.Or(f.LogGroup, "/aws/lambda/"+f.Name),
		},
	}
	if f.DeadLetter != "" {
		c.DeadLetterConfig = &deadLetterConfig{f.DeadLetter}
	}
	if len(f.Env) > 0 {
		c.Environment = &environment{Variables: f.Env}
	}
	return c
}

func (s *Service) serveConfiguration(w http.ResponseWriter, r *http.Request) error {
	f, arn, err := s.resolve(r.PathValue("name"), r.URL.Query().Get("Qualifier"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.describe(f, arn))
}

func (s *Service) serveFunction(w http.ResponseWriter, r *http.Request) error {
	f, arn, err := s.resolve(r.PathValue("name"), r.URL.Query().Get("Qualifier"))
	if err != nil {
		return err
	}
	answer := map[string]any{
		"Configuration": s.describe(f, arn),
		"Code":          map[string]string{"RepositoryType": "S3"},
	}
	if f.Concurrency > 0 {
		answer["Concurrency"] = map[string]int{"ReservedConcurrentExecutions": f.Concurrency}
	}
	return writeJSON(w, http.StatusOK, answer)
}

// serveList answers all functions in one page.
func (s *Service) serveList(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.functions))
	s.mu.Unlock()
	slices.SortFunc(all, func(x, y *function) int { return strings.Compare(x.Name, y.Name) })
	list := []configuration{}
	for _, f := range all {
		list = append(list, s.describe(f, s.ARN(f.Name)))
	}
	return writeJSON(w, http.StatusOK, map[string]any{"Functions": list})
}

// The quotas of an account that have nothing to do with concurrency, in bytes.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	accountCode  = 75 << 30
	unzippedCode = 250 << 20
	zippedCode   = 50 << 20
)

// serveAccount answers GetAccountSettings. The lab does not know how much code
// there is.
// https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html
func (s *Service) serveAccount(w http.ResponseWriter, _ *http.Request) error {
	s.mu.Lock()
	functions, reserved := len(s.functions), 0
	for _, f := range s.functions {
		reserved += f.Concurrency
	}
	s.mu.Unlock()
	return writeJSON(w, http.StatusOK, map[string]map[string]int{
		"AccountLimit": {
			"TotalCodeSize": accountCode, "CodeSizeUnzipped": unzippedCode, "CodeSizeZipped": zippedCode,
			"ConcurrentExecutions": s.options.Concurrency + reserved, "UnreservedConcurrentExecutions": s.options.Concurrency,
		},
		"AccountUsage": {"FunctionCount": functions},
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
	return nil
}

// writeError writes an error as Lambda does: its code in a header, and who is
// to blame in the member Type, unless it is one of AWS's own front. The model
// spells the message of two errors with a capital.
func writeError(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok {
		e = &wire.Error{Code: "ServiceException", Status: http.StatusInternalServerError, Message: err.Error()}
	}
	body := map[string]any{"Type": "User", "message": e.Message}
	switch e.Code {
	case "ValidationException", "UnknownOperationException":
		delete(body, "Type")
	case "ResourceNotFoundException":
		body = map[string]any{"Type": "User", "Message": e.Message}
	case "ServiceException":
		body = map[string]any{"Type": "Service", "Message": e.Message}
	}
	maps.Copy(body, e.Members)
	b, _ := json.Marshal(body) // strings always have a form in JSON
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", e.Code)
	w.WriteHeader(cmp.Or(e.Status, http.StatusBadRequest))
	_, _ = w.Write(b)
}
