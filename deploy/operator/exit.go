package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/signed"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// What the process exits with. Those from 64 on are named as in sysexits(3).
const (
	exitClean       = 0
	exitDrift       = 1
	exitUnknown     = 2
	exitUsage       = 64
	exitNoInput     = 66
	exitUnavailable = 69
	exitDenied      = 77
	exitConfig      = 78
)

// exit ends a command that has said all there is to say.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// ended is the error of a command that is to exit with a code, nil for 0.
func ended(code int) error {
	if code == exitClean {
		return nil
	}
	return exit(code)
}

// failure is an error as people are told of it: what was asked, what was answered, and what to do.
type failure struct {
	code  int
	asked string
	err   error
	fix   string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// errCredentials: there are none, or they are of no use.
var errCredentials = errors.New("no AWS credentials that work")

// explain says what an error means for whoever asked.
func explain(ctx context.Context, asked string, err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		if f.asked == "" {
			f.asked = asked
		}
		return f
	}
	f := &failure{code: exitUnavailable, asked: asked, err: err}
	code := errorCode(err)
	_, unreachable := errors.AsType[*url.Error](err)
	_, network := errors.AsType[net.Error](err)
	switch {
	case ctx.Err() != nil:
		f.code, f.err, f.fix = exitUnknown, errors.New("interrupted"), "what was asked for may be done or not: keytrail status tells"
	case errors.Is(err, wanted.ErrGone):
		f.code, f.fix = exitNoInput, "keytrail status lists the secrets that there are; mind the Region and the profile"
	case errors.Is(err, errCredentials), strings.Contains(code, "ExpiredToken"), code == "InvalidClientTokenId", code == "UnrecognizedClientException", code == "SignatureDoesNotMatch":
		f.code, f.fix = exitDenied, "log in again with aws sso login or as you did before, or name a profile with --profile"
	case strings.HasPrefix(code, "AccessDenied"), code == "UnauthorizedOperation", errors.Is(err, evidence.ErrDenied):
		f.code, f.fix = exitDenied, "give your user or role the right that is named; deploy/README.md lists what the command needs"
	case strings.Contains(code, "Throttl"), code == "TooManyRequestsException", code == "RequestLimitExceeded":
		f.fix = "AWS is throttling: try again in a minute"
	case unreachable, network:
		f.fix = "check the network, --region and --endpoint-url"
	}
	return f
}

// errorCode is what AWS calls an error, "" where the error is none of AWS's.
func errorCode(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	if e, ok := errors.AsType[*signed.Error](err); ok {
		return e.Code
	}
	return ""
}
