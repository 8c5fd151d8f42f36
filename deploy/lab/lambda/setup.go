package lambda

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// osOnly is the one runtime of functions that are made by the API.
const osOnly = "provided.al2023"

// settings are what CreateFunction and UpdateFunctionConfiguration have in
// common; what an update leaves out stays.
type settings struct {
	FunctionName  string // of CreateFunction
	Role          string
	Runtime       string
	Handler       string
	Environment   *environment
	Timeout       *int
	MemorySize    *int
	LoggingConfig *loggingConfig
}

type creation struct {
	settings
	Architectures []string
	Code          struct{ ZipFile []byte }
	PackageType   string
	Publish       bool
}

// decode reads a body, and refuses members that the lab does not have: they
// would change nothing here that they change on AWS.
func decode(r *http.Request, in any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return invalidParameter("The lab does not take this: " + err.Error())
	}
	return nil
}

// https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
func (s *Service) createFunction(w http.ResponseWriter, r *http.Request) error {
	in := creation{}
	if err := decode(r, &in); err != nil {
		return err
	}
	m := reference.FindStringSubmatch(in.FunctionName)
	switch {
	case m == nil || m[4] != "":
		return invalidParameter("functionName " + in.FunctionName + " is no name of a function")
	case in.Role == "" || in.Code.ZipFile == nil || in.Runtime == "" || in.Handler == "":
		return invalidParameter("Role, Runtime, Handler and Code.ZipFile are required here.")
	case in.PackageType != "" && in.PackageType != "Zip":
		return invalidParameter("The lab has no functions of the package type " + in.PackageType + ".")
	}
	f := Function{Name: m[3], Architecture: "x86_64", Versions: map[bool]int{true: 1}[in.Publish]}
	s.setup.Lock()
	defer s.setup.Unlock()
	if _, exists := s.Function(f.Name); exists {
		return conflict("Function already exist: " + f.Name)
	}
	if err := s.apply(&f, in.settings); err != nil {
		return err
	}
	if err := s.load(&f, in.Code.ZipFile, in.Architectures); err != nil {
		return err
	}
	return s.store(w, http.StatusCreated, f)
}

// https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html
func (s *Service) updateFunctionConfiguration(w http.ResponseWriter, r *http.Request) error {
	var in settings
	if err := decode(r, &in); err != nil {
		return err
	}
	return s.change(r, func(f *Function) error {
		if err := s.apply(f, in); err != nil {
			return err
		}
		return s.store(w, http.StatusOK, *f)
	})
}

// https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html
func (s *Service) updateFunctionCode(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Architectures []string
		Publish       bool
		ZipFile       []byte
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	return s.change(r, func(f *Function) error {
		if err := s.load(f, in.ZipFile, in.Architectures); err != nil {
			return err
		}
		if in.Publish {
			f.Versions++
		}
		return s.store(w, http.StatusOK, *f)
	})
}

// change finds the function of a request and has it changed, one at a time.
func (s *Service) change(r *http.Request, do func(*Function) error) error {
	s.setup.Lock()
	defer s.setup.Unlock()
	found, _, err := s.resolve(r.PathValue("name"), "")
	if err != nil {
		return err
	}
	f, _ := s.Function(found.Name)
	return do(&f)
}

// apply puts settings into a function.
func (s *Service) apply(f *Function, in settings) error {
	if in.Runtime != "" && in.Runtime != osOnly {
		return invalidParameter("The lab has no runtime " + in.Runtime + ", but " + osOnly + ".")
	}
	if in.Role != "" {
		_, name, ok := strings.Cut(in.Role, ":role/")
		if !ok || in.Role != s.options.roleARN(Function{Role: name}) || !s.options.MayAssume(in.Role) {
			return invalidParameter("The role defined for the function cannot be assumed by Lambda.")
		}
		f.Role = name
	}
	f.Handler = cmp.Or(in.Handler, f.Handler)
	if in.Environment != nil {
		f.Env = in.Environment.Variables
	}
	if in.Timeout != nil {
		if *in.Timeout < 1 || *in.Timeout > int(maxTimeout/time.Second) {
			return outOfRange("timeout", *in.Timeout, 1, int(maxTimeout/time.Second))
		}
		f.Timeout = time.Duration(*in.Timeout) * time.Second
	}
	if in.MemorySize != nil {
		if *in.MemorySize < 128 || *in.MemorySize > 10240 {
			return outOfRange("memorySize", *in.MemorySize, 128, 10240)
		}
		f.MemoryMB = *in.MemorySize
	}
	if l := in.LoggingConfig; l != nil {
		f.LogFormat, f.LogLevel, f.LogGroup = l.LogFormat, l.ApplicationLogLevel, l.LogGroup
	}
	return nil
}

func outOfRange(member string, value, low, high int) error {
	relation, bound := "greater than or equal to", low
	if value > high {
		relation, bound = "less than or equal to", high
	}
	return &wire.Error{Code: "ValidationException", Message: fmt.Sprintf(
		"1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value %s %d", value, member, relation, bound)}
}

// load gives a function the code in an archive. That the code is for another
// architecture shows when it is invoked.
func (s *Service) load(f *Function, archive []byte, architecture []string) error {
	if len(architecture) > 1 || len(architecture) == 1 && architectures[architecture[0]] == "" {
		return invalidParameter(fmt.Sprintf("Architectures %q: one of x86_64 and arm64", architecture))
	}
	if len(architecture) == 1 {
		f.Architecture = architecture[0]
	}
	program, err := s.unpack(f.Name, archive)
	if err != nil {
		return err
	}
	f.Command, f.Dir = []string{program}, filepath.Dir(program)
	return nil
}

// store adds the function as it is now and answers with its configuration.
func (s *Service) store(w http.ResponseWriter, status int, f Function) error {
	if err := s.AddFunction(f); err != nil {
		return invalidParameter(err.Error())
	}
	stored, arn, err := s.resolve(f.Name, "")
	if err != nil {
		return err
	}
	return writeJSON(w, status, s.describe(stored, arn))
}

// https://docs.aws.amazon.com/lambda/latest/api/API_DeleteFunction.html
func (s *Service) deleteFunction(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Has("Qualifier") {
		return invalidParameter("The lab has one version of a function, which goes with it.")
	}
	return s.change(r, func(f *Function) error {
		arn := s.ARN(f.Name)
		for of := range s.grants {
			if of == arn || strings.HasPrefix(of, arn+":") {
				delete(s.grants, of)
				if err := s.options.Policy(of, nil); err != nil {
					return err
				}
			}
		}
		s.RemoveFunction(f.Name)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionConcurrency.html
func (s *Service) putFunctionConcurrency(w http.ResponseWriter, r *http.Request) error {
	var in struct{ ReservedConcurrentExecutions int }
	if err := decode(r, &in); err != nil {
		return err
	}
	if in.ReservedConcurrentExecutions < 1 {
		return invalidParameter("The lab has no functions without concurrency: ReservedConcurrentExecutions of at least 1.")
	}
	return s.change(r, func(f *Function) error {
		f.Concurrency = in.ReservedConcurrentExecutions
		if err := s.AddFunction(*f); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, in)
	})
}

// https://docs.aws.amazon.com/lambda/latest/api/API_DeleteFunctionConcurrency.html
func (s *Service) deleteFunctionConcurrency(w http.ResponseWriter, r *http.Request) error {
	return s.change(r, func(f *Function) error {
		f.Concurrency = 0
		w.WriteHeader(http.StatusNoContent)
		return s.AddFunction(*f)
	})
}

// publishVersion gives out the next number, which is another name of the one
// version that there is.
// https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
func (s *Service) publishVersion(w http.ResponseWriter, r *http.Request) error {
	var in struct{}
	if err := decode(r, &in); err != nil {
		return err
	}
	return s.change(r, func(f *Function) error {
		f.Versions++
		if err := s.AddFunction(*f); err != nil {
			return err
		}
		number := strconv.Itoa(f.Versions)
		stored, arn, err := s.resolve(f.Name, number)
		if err != nil {
			return err
		}
		c := s.describe(stored, arn)
		c.Version = number
		return writeJSON(w, http.StatusCreated, c)
	})
}

// aliasConfiguration is the answer of the calls for aliases. What an alias
// points to is not kept: all versions are the same.
type aliasConfiguration struct{ AliasArn, Name, FunctionVersion string }

func (s *Service) alias(f *Function, name string) aliasConfiguration {
	return aliasConfiguration{AliasArn: s.options.functionARN(f.Name, name), Name: name, FunctionVersion: latest}
}

// https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html
func (s *Service) createAlias(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Name, FunctionVersion string }
	if err := decode(r, &in); err != nil {
		return err
	}
	return s.change(r, func(f *Function) error {
		a := s.alias(f, in.Name)
		switch {
		case in.FunctionVersion != latest && !f.published(in.FunctionVersion):
			return notFound("Function not found: " + s.options.functionARN(f.Name, in.FunctionVersion))
		case in.FunctionVersion != latest:
			return invalidParameter("The lab's aliases point to " + latest + ".")
		case slices.Contains(f.Aliases, in.Name):
			return conflict("Alias already exists: " + a.AliasArn)
		}
		f.Aliases = append(f.Aliases, in.Name)
		if err := s.AddFunction(*f); err != nil {
			return invalidParameter(err.Error())
		}
		return writeJSON(w, http.StatusCreated, a)
	})
}

// https://docs.aws.amazon.com/lambda/latest/api/API_GetAlias.html
func (s *Service) getAlias(w http.ResponseWriter, r *http.Request) error {
	return s.change(r, func(f *Function) error {
		a := s.alias(f, r.PathValue("alias"))
		if !slices.Contains(f.Aliases, a.Name) {
			return notFound("Cannot find alias arn: " + a.AliasArn)
		}
		return writeJSON(w, http.StatusOK, a)
	})
}

// deleteAlias is content with an alias that is not there.
// https://docs.aws.amazon.com/lambda/latest/api/API_DeleteAlias.html
func (s *Service) deleteAlias(w http.ResponseWriter, r *http.Request) error {
	return s.change(r, func(f *Function) error {
		f.Aliases = slices.DeleteFunc(f.Aliases, func(name string) bool { return name == r.PathValue("alias") })
		w.WriteHeader(http.StatusNoContent)
		return s.AddFunction(*f)
	})
}

func conflict(message string) error {
	return &wire.Error{Code: "ResourceConflictException", Message: message, Status: http.StatusConflict}
}

func notFound(message string) error {
	return &wire.Error{Code: "ResourceNotFoundException", Message: message, Status: http.StatusNotFound}
}
