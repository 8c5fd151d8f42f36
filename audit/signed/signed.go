// Package signed calls AWS services of which so little is needed that their packages of the SDK cost more
// than they are worth: that of EC2 takes minutes to compile, those of Lambda and SQS a fifth of a function's
// start. What stands in a call and in its reply is its caller's business.
package signed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Client calls one service. It may be used by many at once. Make it with New.
type Client struct {
	config   aws.Config
	service  string
	endpoint string
	explain  func(Reply) (code, message string)
	signer   *v4.Signer
}

// New returns a client of a service, by the name that its endpoint and its signatures have, in the
// configuration's Region. explain reads why the service did not do what it was asked.
func New(config aws.Config, service string, explain func(Reply) (code, message string)) *Client {
	// https://docs.aws.amazon.com/general/latest/gr/rande.html
	suffix := "amazonaws.com"
	if strings.HasPrefix(config.Region, "cn-") {
		suffix += ".cn"
	}
	endpoint := "https://" + service + "." + config.Region + "." + suffix
	if config.BaseEndpoint != nil {
		endpoint = strings.TrimSuffix(*config.BaseEndpoint, "/")
	}
	if config.HTTPClient == nil {
		config.HTTPClient = http.DefaultClient
	}
	return &Client{config, service, endpoint, explain, v4.NewSigner()}
}

// Reply is what the service answered.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Error is an error that the service answered.
type Error struct {
	Status  int
	Code    string
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d): %s", e.Code, e.Status, e.Message) }

// passing says that the same call may be answered otherwise a little later.
func (e *Error) passing() bool {
	_, throttled := retry.DefaultThrottleErrorCodes[e.Code]
	return e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests || throttled
}

// Post makes one call, again and again while it is throttled, lost, or the service is not well. The path
// begins with a slash, has a query if there is one, and needs no escape. The error may be an *Error.
func (c *Client) Post(ctx context.Context, path string, header http.Header, body []byte) (Reply, error) {
	// As the functions have the SDK do it.
	const (
		tries   = 8
		longest = 20 * time.Second
	)
	backoff := retry.NewExponentialJitterBackoff(longest)
	for n := 0; ; n++ {
		reply, err := c.once(ctx, path, header, body)
		if err == nil && reply.Status/100 == 2 {
			return reply, nil
		}
		again := true
		if err == nil {
			e := &Error{Status: reply.Status}
			if e.Code, e.Message = c.explain(reply); e.Code == "" {
				e.Code = "no code"
			}
			again, err = e.passing(), e
		}
		if !again || n == tries-1 || ctx.Err() != nil {
			return Reply{}, err
		}
		pause, _ := backoff.BackoffDelay(n, err) // never fails
		select {
		case <-ctx.Done():
			return Reply{}, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// Form is the header of a body that is a form.
func Form() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}
}

// JSON is the header of a body that is JSON, for services whose paths say what is asked.
func JSON() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// Target is the header of a body that is JSON, for services of which it says what is asked: SERVICE.ACTION.
func Target(action string) http.Header {
	return http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {action}}
}

func (c *Client) once(ctx context.Context, path string, header http.Header, body []byte) (Reply, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	request.Header = header.Clone()
	credentials, err := c.config.Credentials.Retrieve(ctx)
	if err != nil {
		return Reply{}, err
	}
	sum := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), c.service, c.config.Region, time.Now()); err != nil {
		return Reply{}, err
	}
	response, err := c.config.HTTPClient.Do(request)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = response.Body.Close() }() // what was read has nothing more to say
	// A page of 1,000 instances takes some megabytes.
	const most = 64 << 20
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	return Reply{response.StatusCode, response.Header, text}, err
}
