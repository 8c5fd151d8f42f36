package lambda

import (
	"cmp"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Limits and defaults of a function.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	defaultTimeout  = 3 * time.Second
	maxTimeout      = 15 * time.Minute
	defaultMemoryMB = 128
	latest          = "$LATEST"
)

// Function is a command that speaks the Lambda Runtime API.
type Function struct {
	Name    string
	Command []string // program and arguments; the program is looked up in PATH once, when the function is added
	// Dir is the working directory, and LAMBDA_TASK_ROOT. Default: that of the
	// lab.
	Dir         string
	Env         map[string]string // may not set what Lambda reserves, such as AWS_REGION
	Timeout     time.Duration     // at most 15 minutes, any fraction of a second; default 3 s
	MemoryMB    int               // told to the function and to its callers, not enforced; default 128
	Role        string            // name of the role that its session assumes, after its path if it has one; default NAME-role
	Handler     string            // default bootstrap
	Aliases     []string          // each names the one version there is
	Versions    int               // so many were published; their numbers are further names of the one there is
	LogFormat   string            // Text or JSON, which the function's logger is told; default Text
	LogLevel    string            // of its logger in JSON
	LogGroup    string            // default /aws/lambda/NAME
	Concurrency int               // invocations at once that are reserved for it; 0 reserves none
	// Architecture is x86_64 or arm64, which the program has to be built for.
	// Default: whatever this machine executes.
	Architecture string
	DeadLetter   string // ARN of the queue or topic that gets events which every attempt failed for
}

var (
	functionName = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)
	aliasName    = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,128}$`)
	variableName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)
	allDigits    = regexp.MustCompile(`^[0-9]+$`)
)

// reserved are the variables that Lambda refuses in a function's environment.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
var reserved = map[string]bool{
	"_HANDLER": true, "_X_AMZN_TRACE_ID": true, "AWS_DEFAULT_REGION": true, "AWS_REGION": true,
	"AWS_EXECUTION_ENV": true, "AWS_LAMBDA_FUNCTION_NAME": true, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": true,
	"AWS_LAMBDA_FUNCTION_VERSION": true, "AWS_LAMBDA_INITIALIZATION_TYPE": true,
	"AWS_LAMBDA_LOG_GROUP_NAME": true, "AWS_LAMBDA_LOG_STREAM_NAME": true, "AWS_ACCESS_KEY": true,
	"AWS_ACCESS_KEY_ID": true, "AWS_SECRET_ACCESS_KEY": true, "AWS_SESSION_TOKEN": true,
	"AWS_LAMBDA_RUNTIME_API": true, "LAMBDA_TASK_ROOT": true, "LAMBDA_RUNTIME_DIR": true,
}

// complete returns the function with defaults in place and the absolute path
// of its program, or everything that is wrong with it.
func (f Function) complete() (Function, error) {
	f.Timeout = cmp.Or(f.Timeout, defaultTimeout)
	f.MemoryMB = cmp.Or(f.MemoryMB, defaultMemoryMB)
	f.Role = cmp.Or(f.Role, f.Name+"-role")
	f.Handler = cmp.Or(f.Handler, bootstrap)
	f.Env, f.Aliases, f.Command = maps.Clone(f.Env), slices.Clone(f.Aliases), slices.Clone(f.Command)

	var errs []error
	complain := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if !functionName.MatchString(f.Name) {
		complain("function name %q: letters, digits, - and _ only, at most 64", f.Name)
	}
	if f.Timeout < 0 || f.Timeout > maxTimeout {
		complain("timeout %s: at most %s", f.Timeout, maxTimeout)
	}
	if f.Architecture != "" && architectures[f.Architecture] == "" {
		complain("architecture %q: x86_64 or arm64", f.Architecture)
	}
	for _, a := range f.Aliases {
		if !aliasName.MatchString(a) || allDigits.MatchString(a) {
			complain("alias %q: letters, digits, - and _ only, and not digits alone", a)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.Env)) {
		switch {
		case reserved[k]:
			complain("variable %s is reserved: Lambda sets it", k)
		case !variableName.MatchString(k) || strings.ContainsRune(f.Env[k], 0):
			complain("variable %q: a letter, then letters, digits and _, and no NUL in its value", k)
		}
	}
	var err error
	if f.Dir, err = filepath.Abs(f.Dir); err != nil {
		errs = append(errs, err)
	}
	if err := f.findProgram(); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return Function{}, fmt.Errorf("function %s: %w", f.Name, errors.Join(errs...))
	}
	return f, nil
}

// findProgram makes the program an absolute path, as a shell in the function's
// directory would find it.
func (f *Function) findProgram() error {
	if len(f.Command) == 0 || f.Command[0] == "" {
		return errors.New("no command")
	}
	program := f.Command[0]
	if strings.ContainsRune(program, filepath.Separator) && !filepath.IsAbs(program) {
		program = filepath.Join(f.Dir, program)
	}
	program, err := exec.LookPath(program)
	if err != nil {
		return err
	}
	f.Command[0], err = filepath.Abs(program)
	return err
}

// published tells whether a version's number was given out.
func (f Function) published(number string) bool {
	n, err := strconv.Atoi(number)
	return err == nil && n >= 1 && n <= f.Versions && number == strconv.Itoa(n)
}

// credentials are what a function signs its calls with. They are derived from
// its name, so that they are the same in each run; nothing checks the secret.
type credentials struct {
	accessKeyID, secretAccessKey, sessionToken string
}

func (o Options) credentials(f Function) credentials {
	sum := sha512.Sum512([]byte(o.Account + "/" + f.Role + "/" + f.Name))
	return credentials{
		accessKeyID:     "ASIA" + base32.StdEncoding.EncodeToString(sum[:10]), // the prefix of temporary keys
		secretAccessKey: base64.StdEncoding.EncodeToString(sum[10:40]),
		sessionToken:    "lab" + base64.StdEncoding.EncodeToString(sum[40:]),
	}
}

// identity is who a function is to the services that it calls. The session of
// its role is named after the function, as Lambda does.
func (o Options) identity(f Function) wire.Identity {
	return wire.Identity{
		AccessKeyID: o.credentials(f).accessKeyID,
		ARN:         "arn:aws:sts::" + o.Account + ":assumed-role/" + path.Base(f.Role) + "/" + f.Name,
	}
}

func (o Options) roleARN(f Function) string {
	return "arn:aws:iam::" + o.Account + ":role/" + f.Role
}

func (o Options) functionARN(name, qualifier string) string {
	arn := "arn:aws:lambda:" + o.Region + ":" + o.Account + ":function:" + name
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}

// environment is the whole environment of a sandbox: what Lambda sets and what
// the function asks for. Of the lab's own only PATH is passed on, since that
// is where interpreters are found.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func (o Options) environment(f Function, runtimeAPI, stream string) []string {
	c := o.credentials(f)
	env := map[string]string{
		"_HANDLER":                        f.Handler,
		"AWS_ACCESS_KEY_ID":               c.accessKeyID,
		"AWS_SECRET_ACCESS_KEY":           c.secretAccessKey,
		"AWS_SESSION_TOKEN":               c.sessionToken,
		"AWS_REGION":                      o.Region,
		"AWS_DEFAULT_REGION":              o.Region,
		"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     latest,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       cmp.Or(f.LogGroup, "/aws/lambda/"+f.Name),
		"AWS_LAMBDA_LOG_STREAM_NAME":      stream,
		"AWS_LAMBDA_RUNTIME_API":          runtimeAPI,
		"LAMBDA_TASK_ROOT":                f.Dir,
		"LANG":                            "en_US.UTF-8",
		"PATH":                            cmp.Or(os.Getenv("PATH"), "/usr/local/bin:/usr/bin:/bin"),
		"TZ":                              ":UTC",
		// What AWS does not set, and what keeps a function inside the lab.
		"AWS_ENDPOINT_URL":          o.Endpoint,
		"AWS_EC2_METADATA_DISABLED": "true",
		"NO_PROXY":                  "127.0.0.1,localhost,::1",
	}
	for name, value := range map[string]string{"AWS_LAMBDA_LOG_FORMAT": f.LogFormat, "AWS_LAMBDA_LOG_LEVEL": f.LogLevel} {
		if value != "" {
			env[name] = value
		}
	}
	maps.Copy(env, f.Env)
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}
