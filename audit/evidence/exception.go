package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// ExceptionsKey is where the list of exceptions stands in a bucket. People write it; neither function may.
const ExceptionsKey = "exceptions.json"

// Exception is one foreign key that somebody answers for. exceptions.schema.json describes the list.
type Exception struct {
	// Expires is the last day on which it holds, as 2006-01-02, in UTC.
	Expires     string `json:"expires"`
	Fingerprint string `json:"fingerprint"` // as ssh-keygen -l has it: SHA256:…
	// Hosts are ids, or patterns in which * stands for any text. None: all hosts.
	Hosts  []string `json:"hosts,omitempty"`
	Owner  string   `json:"owner"` // who answers for it
	Reason string   `json:"reason"`
	User   string   `json:"user,omitempty"` // the account; none: all accounts
}

// exceptionsFile is the list as it stands in the bucket.
type exceptionsFile struct {
	Exceptions []Exception `json:"exceptions"`
	Schema     int         `json:"schema"`
}

// FormatExceptions writes a list as ParseExceptions reads it, indented for people.
func FormatExceptions(list []Exception) ([]byte, error) {
	if list == nil {
		list = []Exception{}
	}
	body, err := json.MarshalIndent(exceptionsFile{list, Schema}, "", "  ")
	return append(body, '\n'), err
}

// ParseBaseline reads a list whose owners, reasons and ends are yet to be filled in.
func ParseBaseline(body []byte) ([]Exception, error) {
	f, err := readExceptions(body)
	return f.Exceptions, err
}

// ParseExceptions reads a list. The error joins all that is wrong with it: then none of it counts.
func ParseExceptions(body []byte) ([]Exception, error) {
	f, err := readExceptions(body)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, e := range f.Exceptions {
		if err := e.check(); err != nil {
			errs = append(errs, fmt.Errorf("exception %d: %w", i+1, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("read the exceptions: %w", err)
	}
	return f.Exceptions, nil
}

func readExceptions(body []byte) (exceptionsFile, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var f exceptionsFile
	if err := dec.Decode(&f); err != nil {
		return f, fmt.Errorf("read the exceptions: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return f, errors.New("read the exceptions: something follows the list")
	}
	if f.Schema != Schema {
		return f, fmt.Errorf("read the exceptions: its schema is %d, this release reads %d", f.Schema, Schema)
	}
	return f, nil
}

// check refuses an exception that nobody answers for, or that would hold for ever.
func (e Exception) check() error {
	var errs []error
	if _, err := sshkey.ParseFingerprint(e.Fingerprint); err != nil {
		errs = append(errs, err)
	}
	for _, need := range []struct{ name, value string }{{"owner", e.Owner}, {"reason", e.Reason}} {
		if strings.TrimSpace(need.value) == "" || len(need.value) > 500 {
			errs = append(errs, fmt.Errorf("it needs %s, of at most 500 bytes", need.name))
		}
	}
	if _, err := time.Parse(time.DateOnly, e.Expires); err != nil {
		errs = append(errs, fmt.Errorf("expires %q is no day such as 2027-01-31", e.Expires))
	}
	if e.User != "" {
		if err := fleet.CheckUser(e.User); err != nil {
			errs = append(errs, err)
		}
	}
	for _, h := range e.Hosts {
		if _, err := path.Match(h, ""); err != nil || h == "" {
			errs = append(errs, fmt.Errorf("host %q is no id and no pattern", h))
		}
	}
	return errors.Join(errs...)
}

// Holds reports whether the exception is still in force at a time.
func (e Exception) Holds(now time.Time) bool {
	last, err := time.Parse(time.DateOnly, e.Expires)
	return err == nil && now.Before(last.AddDate(0, 0, 1))
}

// Covers reports whether it is about a key in an account on a host, in force or not.
func (e Exception) Covers(host, user, fingerprint string) bool {
	if e.Fingerprint != fingerprint || e.User != "" && e.User != user {
		return false
	}
	return len(e.Hosts) == 0 || slices.ContainsFunc(e.Hosts, func(pattern string) bool {
		ok, err := path.Match(pattern, host)
		return ok && err == nil
	})
}

// Answered reports whether an exception of a list covers a key and is in force.
func Answered(list []Exception, host, user, fingerprint string, now time.Time) bool {
	return slices.ContainsFunc(list, func(e Exception) bool { return e.Holds(now) && e.Covers(host, user, fingerprint) })
}
