package cloudformation

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/lambda"
)

var lambdaKinds = map[string]kind{
	"AWS::Lambda::Function":   define(definition[functionProperties]{attributes: []string{"Arn"}, create: createFunction, update: updateFunction, remove: removeFunction}),
	"AWS::Lambda::Version":    define(definition[versionProperties]{attributes: []string{"FunctionArn", "Version"}, create: createVersion, remove: removeVersion}),
	"AWS::Lambda::Alias":      define(definition[aliasProperties]{attributes: []string{"AliasArn"}, create: createAlias, update: updateAlias, remove: removeAlias}),
	"AWS::Lambda::Permission": define(definition[permissionProperties]{attributes: []string{"Id"}, create: createPermission, remove: removePermission}),
}

// longestFunction bounds the name of a function.
const longestFunction = 64

type functionProperties struct {
	Architectures                []string
	Code                         functionCode `cfn:"required"`
	Description                  string
	Environment                  struct{ Variables map[string]string }
	EphemeralStorage             struct{ Size int64 }
	FunctionName                 string `cfn:"name"`
	Handler                      string
	KmsKeyArn                    string
	LoggingConfig                logging
	MemorySize                   int64
	PackageType                  string `cfn:"fixed"`
	ReservedConcurrentExecutions *int64
	Role                         string `cfn:"required"`
	Runtime                      string
	Tags                         []Tag
	Timeout                      int64
	TracingConfig                struct{ Mode string }
	VpcConfig                    struct {
		Ipv6AllowedForDualStack bool
		SecurityGroupIds        []string
		SubnetIds               []string
	}
}

type functionCode struct {
	S3Bucket, S3Key, S3ObjectVersion string
	ZipFile                          string // here the program that takes its place
}

type logging struct {
	ApplicationLogLevel, LogFormat, LogGroup, SystemLogLevel string
}

func createFunction(t *task, p *functionProperties) (entity, error) {
	name := cmp.Or(p.FunctionName, t.name(longestFunction))
	if _, exists := t.options.Functions.Function(name); exists {
		return entity{}, alreadyExists("AWS::Lambda::Function", name)
	}
	e := entity{ID: name, Attributes: map[string]string{"Arn": t.options.Functions.ARN(name)}}
	return updateFunction(t, e, nil, p)
}

// updateFunction keeps the aliases, which are resources of their own.
func updateFunction(t *task, e entity, _, p *functionProperties) (entity, error) {
	if p.PackageType != "" && p.PackageType != "Zip" {
		return entity{}, fmt.Errorf("functions of package type %s are not known here", p.PackageType)
	}
	concurrency := 0
	if n := p.ReservedConcurrentExecutions; n != nil {
		if concurrency = int(*n); concurrency < 1 {
			return entity{}, errors.New("a function without concurrency is not known here: ReservedConcurrentExecutions of at least 1, or none")
		}
	}
	command, dir, err := t.code(e.ID, p.Code)
	if err != nil {
		return entity{}, err
	}
	was, _ := t.options.Functions.Function(e.ID)
	f := lambda.Function{
		Name: e.ID, Command: command, Dir: dir, Env: p.Environment.Variables, Timeout: time.Duration(p.Timeout) * time.Second,
		MemoryMB: int(p.MemorySize), Role: rolePathAndName(p.Role), Handler: p.Handler, Concurrency: concurrency,
		LogFormat: p.LoggingConfig.LogFormat, LogLevel: p.LoggingConfig.ApplicationLogLevel, LogGroup: p.LoggingConfig.LogGroup,
		Aliases: was.Aliases, Versions: was.Versions,
	}
	return e, t.options.Functions.AddFunction(f)
}

// rolePathAndName is what stands behind role/ in an ARN.
func rolePathAndName(arn string) string {
	_, name, _ := strings.Cut(arn, ":role/")
	return cmp.Or(name, arn)
}

func removeFunction(t *task, e entity, _ *functionProperties) error {
	t.options.Functions.RemoveFunction(e.ID)
	return nil
}

// code returns the command that is a function's code: the caller's own, or the
// bootstrap of an archive in S3, which is unpacked below the lab's folder.
func (t *task) code(function string, c functionCode) (command []string, dir string, err error) {
	if program := t.spec.Programs[t.id]; program != nil {
		return program, "", nil
	}
	switch {
	case c.ZipFile != "":
		return nil, "", errors.New("code in the template is not known here: give an archive in S3, or a program")
	case c.S3Bucket == "" || c.S3Key == "":
		return nil, "", errors.New("the code needs S3Bucket and S3Key")
	}
	path := escaped(c.S3Bucket, c.S3Key)
	if c.S3ObjectVersion != "" {
		path += "?versionId=" + url.QueryEscape(c.S3ObjectVersion)
	}
	archive, err := t.do(t, "s3", http.MethodGet, path, nil, nil)
	if err != nil {
		if isCode(err, "NoSuchKey", "NoSuchBucket", "AccessDenied") {
			r, _ := errors.AsType[*refusal](err)
			return nil, "", &refusal{Service: "Lambda", Status: 400, RequestID: "n/a", Code: "InvalidParameterValueException",
				Message: "Error occurred while GetObject. S3 Error Code: " + r.Code + ". S3 Error Message: " + r.Message}
		}
		return nil, "", err
	}
	sum := sha256.Sum256(archive)
	dir = filepath.Join(t.options.Dir, function, hex.EncodeToString(sum[:8]))
	program := filepath.Join(dir, "bootstrap")
	if err := unpack(archive, program); err != nil {
		return nil, "", err
	}
	return []string{program}, dir, nil
}

// unpack writes the bootstrap of an archive to a file. Nothing else of the
// archive is looked at, so that none of its names becomes a path.
func unpack(archive []byte, program string) error {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return &refusal{Service: "Lambda", Status: 400, RequestID: "n/a", Code: "InvalidParameterValueException",
			Message: "Could not unzip uploaded file. Please check your file, then try to upload again."}
	}
	i := slices.IndexFunc(z.File, func(f *zip.File) bool { return f.Name == "bootstrap" })
	if i < 0 {
		return errors.New("the archive has no bootstrap")
	}
	if z.File[i].UncompressedSize64 > maxUnpacked {
		return &refusal{Service: "Lambda", Status: 400, RequestID: "n/a", Code: "InvalidParameterValueException",
			Message: fmt.Sprintf("Unzipped size must be smaller than %d bytes", maxUnpacked)}
	}
	r, err := z.File[i].Open()
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxUnpacked))
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(program+".new", b, 0o700); err != nil {
		return err
	}
	return os.Rename(program+".new", program) // a program that runs can be replaced, not written to
}

// maxUnpacked bounds a function's code, layers included.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxUnpacked = 262144000

type versionProperties struct {
	CodeSha256   string `cfn:"fixed"`
	Description  string `cfn:"fixed"`
	FunctionName string `cfn:"required,fixed"`
}

// createVersion publishes the function as it is. The lab has one version of the
// code only: the number is another name of it.
func createVersion(t *task, p *versionProperties) (entity, error) {
	f, err := t.function(p.FunctionName)
	if err != nil {
		return entity{}, err
	}
	f.Versions++
	n := strconv.Itoa(f.Versions)
	arn := t.options.Functions.ARN(f.Name)
	return entity{ID: arn + ":" + n, Attributes: map[string]string{"FunctionArn": arn + ":" + n, "Version": n}}, t.options.Functions.AddFunction(f)
}

// removeVersion lets the number be: it is never given out again.
func removeVersion(*task, entity, *versionProperties) error { return nil }

// function finds a function by name or ARN.
func (t *task) function(name string) (lambda.Function, error) {
	base, _ := splitFunction(name)
	f, ok := t.options.Functions.Function(base)
	if !ok {
		return f, &refusal{Service: "Lambda", Code: "ResourceNotFoundException", Status: 404, RequestID: "n/a",
			Message: "Function not found: " + t.options.Functions.ARN(base)}
	}
	return f, nil
}

// splitFunction takes a name, a partial ARN or an ARN apart.
func splitFunction(name string) (base, qualifier string) {
	if _, rest, ok := strings.Cut(name, ":function:"); ok {
		name = rest
	}
	base, qualifier, _ = strings.Cut(name, ":")
	return base, qualifier
}

type aliasProperties struct {
	Description     string
	FunctionName    string `cfn:"required,fixed"`
	FunctionVersion string `cfn:"required"`
	Name            string `cfn:"required,fixed"`
}

func createAlias(t *task, p *aliasProperties) (entity, error) {
	f, err := t.function(p.FunctionName)
	if err != nil {
		return entity{}, err
	}
	arn := t.options.Functions.ARN(f.Name) + ":" + p.Name
	if slices.Contains(f.Aliases, p.Name) {
		return entity{}, alreadyExists("AWS::Lambda::Alias", arn)
	}
	f.Aliases = append(f.Aliases, p.Name)
	e := entity{ID: arn, Attributes: map[string]string{"AliasArn": arn}}
	if _, err := updateAlias(t, e, nil, p); err != nil {
		return entity{}, err
	}
	return e, t.options.Functions.AddFunction(f)
}

// updateAlias checks that there is such a version; all are the same.
func updateAlias(t *task, e entity, _, p *aliasProperties) (entity, error) {
	f, err := t.function(p.FunctionName)
	if err != nil {
		return entity{}, err
	}
	n, err := strconv.Atoi(p.FunctionVersion)
	if p.FunctionVersion != "$LATEST" && (err != nil || n < 1 || n > f.Versions) {
		return entity{}, &refusal{Service: "Lambda", Code: "ResourceNotFoundException", Status: 404, RequestID: "n/a",
			Message: "Function not found: " + t.options.Functions.ARN(f.Name) + ":" + p.FunctionVersion}
	}
	return e, nil
}

func removeAlias(t *task, _ entity, p *aliasProperties) error {
	f, err := t.function(p.FunctionName)
	if isCode(err, "ResourceNotFoundException") {
		return nil
	}
	f.Aliases = slices.DeleteFunc(f.Aliases, func(name string) bool { return name == p.Name })
	return t.options.Functions.AddFunction(f)
}

type permissionProperties struct {
	Action           string `cfn:"required"`
	EventSourceToken string
	FunctionName     string `cfn:"required"`
	Principal        string `cfn:"required"`
	PrincipalOrgID   string
	SourceAccount    string
	SourceArn        string
}

// createPermission adds a statement to the policy of a function or an alias.
func createPermission(t *task, p *permissionProperties) (entity, error) {
	f, err := t.function(p.FunctionName)
	if err != nil {
		return entity{}, err
	}
	arn := t.options.Functions.ARN(f.Name)
	if _, qualifier := splitFunction(p.FunctionName); qualifier != "" {
		arn += ":" + qualifier
	}
	id := t.name(100)
	statement, err := marshal(p.statement(id, arn))
	if err != nil {
		return entity{}, err
	}
	return entity{ID: id, Attributes: map[string]string{"Id": id}}, t.grant(arn, id, statement)
}

// statement is the permission as Lambda writes it.
// https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
func (p *permissionProperties) statement(id, arn string) map[string]any {
	s := map[string]any{"Sid": id, "Effect": "Allow", "Action": p.Action, "Resource": arn}
	switch {
	case p.Principal == "*":
		s["Principal"] = "*"
	case strings.Contains(p.Principal, ".amazonaws.com"):
		s["Principal"] = map[string]string{"Service": p.Principal}
	default:
		s["Principal"] = map[string]string{"AWS": p.Principal}
	}
	condition := map[string]map[string]string{}
	set := func(operator, key, value string) {
		if value == "" {
			return
		}
		if condition[operator] == nil {
			condition[operator] = map[string]string{}
		}
		condition[operator][key] = value
	}
	set("StringEquals", "AWS:SourceAccount", p.SourceAccount)
	set("StringEquals", "aws:PrincipalOrgID", p.PrincipalOrgID)
	set("StringEquals", "lambda:EventSourceToken", p.EventSourceToken)
	set("ArnLike", "AWS:SourceArn", p.SourceArn)
	if len(condition) > 0 {
		s["Condition"] = condition
	}
	return s
}

// grant adds a statement to a function's policy, or takes it away for nil. Lambda has the policy, as its own calls
// see it.
func (t *task) grant(arn, id string, statement json.RawMessage) error {
	policy, err := t.options.Functions.Grant(arn, id, statement)
	if err != nil {
		return err
	}
	return t.options.Policies.PutResourcePolicy(arn, policy)
}

func removePermission(t *task, e entity, p *permissionProperties) error {
	base, qualifier := splitFunction(p.FunctionName)
	arn := t.options.Functions.ARN(base)
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return t.grant(arn, e.ID, nil)
}
