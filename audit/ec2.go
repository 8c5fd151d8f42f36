package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keytrail/keytrail/rotate/fleet"
)

// Instance is one EC2 instance.
type Instance struct {
	ID      fleet.InstanceID
	Running bool // or about to
}

// EC2 asks EC2 about instances: the one call that is needed, DescribeInstances, signed and read here.
// The SDK's package for EC2 takes 160 s of two processors to compile, for each platform.
type EC2 struct {
	config   aws.Config
	endpoint string
	signer   *v4.Signer
}

// NewEC2 returns a client for the configuration's account and Region.
func NewEC2(config aws.Config) *EC2 {
	// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-endpoints.html
	suffix := "amazonaws.com"
	if strings.HasPrefix(config.Region, "cn-") {
		suffix += ".cn"
	}
	endpoint := "https://ec2." + config.Region + "." + suffix
	if config.BaseEndpoint != nil {
		endpoint = *config.BaseEndpoint
	}
	if config.HTTPClient == nil {
		config.HTTPClient = http.DefaultClient
	}
	return &EC2{config, endpoint, v4.NewSigner()}
}

// alive are the states of an instance that may yet be logged in to.
var alive = []string{"pending", "running", "stopping", "stopped"}

// Tagged returns the instances that have all tags of a target and are not terminated, by id.
func (e *EC2) Tagged(ctx context.Context, target fleet.Target) ([]Instance, error) {
	filters := []filter{{"instance-state-name", alive}}
	for _, t := range target {
		filters = append(filters, filter{"tag:" + t.Key, []string{literal(t.Value)}})
	}
	return e.describe(ctx, filters)
}

// Terminated returns those of some ids that EC2 has terminated or does not know any more. Ids of hybrid
// nodes are never among them.
func (e *EC2) Terminated(ctx context.Context, ids []fleet.InstanceID) ([]fleet.InstanceID, error) {
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html: at most 200 values.
	const most = 200
	var gone []fleet.InstanceID
	ids = slices.DeleteFunc(slices.Clone(ids), func(id fleet.InstanceID) bool { return !strings.HasPrefix(string(id), "i-") })
	for part := range slices.Chunk(ids, most) {
		values := make([]string, len(part))
		for i, id := range part {
			values[i] = string(id)
		}
		// As a filter, an id that EC2 does not know is no error.
		there, err := e.describe(ctx, []filter{{"instance-id", values}, {"instance-state-name", alive}})
		if err != nil {
			return nil, err
		}
		for _, id := range part {
			if !slices.ContainsFunc(there, func(i Instance) bool { return i.ID == id }) {
				gone = append(gone, id)
			}
		}
	}
	return gone, nil
}

// filter is one of DescribeInstances; several are and-ed, their values or-ed.
type filter struct {
	name   string
	values []string
}

// literal keeps EC2 from taking a tag's value for a pattern.
func literal(value string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`).Replace(value)
}

// describe returns the instances of all pages that pass the filters, by id.
func (e *EC2) describe(ctx context.Context, filters []filter) ([]Instance, error) {
	form := url.Values{"Action": {"DescribeInstances"}, "Version": {"2016-11-15"}, "MaxResults": {"1000"}}
	for i, f := range filters {
		prefix := "Filter." + strconv.Itoa(i+1) + "."
		form.Set(prefix+"Name", f.name)
		for j, v := range f.values {
			form.Set(prefix+"Value."+strconv.Itoa(j+1), v)
		}
	}
	var out []Instance
	for {
		page, err := e.page(ctx, form)
		if err != nil {
			return nil, fmt.Errorf("list EC2 instances: %w", err)
		}
		for _, i := range page.Instances {
			id, err := fleet.ParseInstanceID(i.ID)
			if err != nil {
				return nil, fmt.Errorf("list EC2 instances: %w", err)
			}
			out = append(out, Instance{id, i.State == "running" || i.State == "pending"})
		}
		if page.NextToken == "" {
			break
		}
		form.Set("NextToken", page.NextToken)
	}
	slices.SortFunc(out, func(a, b Instance) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out, nil
}

// instancePage is what DescribeInstances answers, as far as it is read.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
type instancePage struct {
	NextToken string `xml:"nextToken"`
	Instances []struct {
		ID    string `xml:"instanceId"`
		State string `xml:"instanceState>name"`
	} `xml:"reservationSet>item>instancesSet>item"`
}

// EC2Error is an error that EC2 answered.
type EC2Error struct {
	Status  int
	Code    string
	Message string
}

func (e *EC2Error) Error() string { return fmt.Sprintf("%s (%d): %s", e.Code, e.Status, e.Message) }

// page makes one call, again and again while it is throttled or EC2 is not well.
func (e *EC2) page(ctx context.Context, form url.Values) (instancePage, error) {
	backoff := retry.NewExponentialJitterBackoff(5 * time.Second)
	const tries = 5
	for n := 0; ; n++ {
		page, err := e.once(ctx, form)
		failed, answered := errors.AsType[*EC2Error](err)
		again := err != nil && (!answered || failed.Status >= 500 || failed.Code == "RequestLimitExceeded")
		if !again || n == tries-1 || ctx.Err() != nil {
			return page, err
		}
		pause, _ := backoff.BackoffDelay(n, err) // never fails
		select {
		case <-ctx.Done():
			return instancePage{}, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

func (e *EC2) once(ctx context.Context, form url.Values) (instancePage, error) {
	body := form.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint+"/", strings.NewReader(body))
	if err != nil {
		return instancePage{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	credentials, err := e.config.Credentials.Retrieve(ctx)
	if err != nil {
		return instancePage{}, err
	}
	sum := sha256.Sum256([]byte(body))
	if err := e.signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "ec2", e.config.Region, time.Now()); err != nil {
		return instancePage{}, err
	}
	response, err := e.config.HTTPClient.Do(request)
	if err != nil {
		return instancePage{}, err
	}
	defer func() { _ = response.Body.Close() }() // what was read has nothing more to say
	// 1,000 instances take some megabytes.
	const most = 64 << 20
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return instancePage{}, err
	}
	if response.StatusCode != http.StatusOK {
		failed := &EC2Error{Status: response.StatusCode, Code: "no code"}
		var answer struct {
			Code    string `xml:"Errors>Error>Code"`
			Message string `xml:"Errors>Error>Message"`
		}
		if xml.Unmarshal(text, &answer) == nil && answer.Code != "" {
			failed.Code, failed.Message = answer.Code, answer.Message
		}
		return instancePage{}, failed
	}
	var page instancePage
	err = xml.Unmarshal(text, &page)
	return page, err
}
