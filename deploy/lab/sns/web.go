package sns

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// webTimeout is how long a web server has to answer.
// https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html
const webTimeout = 15 * time.Second

// statusError is an answer that is no success.
type statusError int

func (e statusError) Error() string { return "status " + strconv.Itoa(int(e)) }

// loopbackClient returns a client that cannot leave this machine: it looks at
// each address that it is about to connect to, uses no proxy and follows no
// redirect.
func loopbackClient() *http.Client {
	d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			return fmt.Errorf("connect to %s: the lab posts to loopback addresses only", address)
		}
		return nil
	}}
	return &http.Client{
		Transport:     &http.Transport{DialContext: d.DialContext},
		Timeout:       webTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post sends a body to a web server with the headers of AWS.
func (s *Service) post(ctx context.Context, d *delivery, kind, body string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.endpoint, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "text/plain; charset=UTF-8")
	r.Header.Set("User-Agent", "Amazon Simple Notification Service Agent")
	for name, value := range map[string]string{
		"x-amz-sns-message-type": kind, "x-amz-sns-message-id": d.id, "x-amz-sns-topic-arn": d.topicARN,
	} {
		r.Header.Set(name, value)
	}
	if kind == "Notification" {
		r.Header.Set("x-amz-sns-subscription-arn", d.subscriptionARN)
		if d.raw {
			r.Header.Set("x-amz-sns-rawdelivery", "true")
		}
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)) // so that the connection can be used again
	if answer.StatusCode/100 != 2 {
		return statusError(answer.StatusCode)
	}
	return nil
}
