// Package ec2 is the lab's EC2, as far as somebody asks it which instances
// there are: DescribeInstances, with its filters and pages.
//
// Not modelled: every other action; of an instance, all but its id, its state
// and its tags; filters other than those in matches.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
package ec2

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// Instance is one EC2 instance.
type Instance struct {
	ID    string
	State string // running, stopped, …
	Tags  map[string]string
}

// codes are the numbers of states.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html
var codes = map[string]int{"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

// Handler serves the instances that the function returns, by id.
func Handler(instances func() []Instance) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := wire.RequestFrom(hr.Context())
		answer, refused := describe(hr, r.ID, instances)
		if refused != nil {
			write(w, http.StatusBadRequest, &failure{Code: refused.Code, Message: refused.Message, RequestID: r.ID})
			return
		}
		write(w, http.StatusOK, answer)
	})
}

func write(w http.ResponseWriter, status int, v any) {
	text, err := xml.Marshal(v)
	if err != nil {
		panic(err) // texts and numbers always encode
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), text...))
}

type failure struct {
	XMLName   xml.Name `xml:"Response"`
	Code      string   `xml:"Errors>Error>Code"`
	Message   string   `xml:"Errors>Error>Message"`
	RequestID string   `xml:"RequestID"`
}

type answer struct {
	XMLName      xml.Name      `xml:"DescribeInstancesResponse"`
	Namespace    string        `xml:"xmlns,attr"`
	RequestID    string        `xml:"requestId"`
	Reservations []reservation `xml:"reservationSet>item"`
	NextToken    string        `xml:"nextToken,omitempty"`
}

type reservation struct {
	ID        string `xml:"reservationId"`
	Instances []item `xml:"instancesSet>item"`
}

type item struct {
	ID    string `xml:"instanceId"`
	State struct {
		Code int    `xml:"code"`
		Name string `xml:"name"`
	} `xml:"instanceState"`
	Tags []tag `xml:"tagSet>item"`
}

type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// filter is one of a call; its values are or-ed.
type filter struct {
	name   string
	values []string
}

func describe(hr *http.Request, id string, instances func() []Instance) (*answer, *wire.Error) {
	if err := hr.ParseForm(); err != nil {
		return nil, &wire.Error{Code: "MalformedQueryString", Message: err.Error()}
	}
	form := hr.Form
	if a := form.Get("Action"); a != "DescribeInstances" {
		return nil, &wire.Error{Code: "InvalidAction", Message: "The action " + a + " is not valid for this web service."}
	}
	filters, refused := filtersOf(form)
	if refused != nil {
		return nil, refused
	}
	size := 1000
	if text := form.Get("MaxResults"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 5 || n > 1000 {
			return nil, &wire.Error{Code: "InvalidParameterValue", Message: "Value ( " + text + " ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."}
		}
		size = n
	}
	list := slices.DeleteFunc(instances(), func(i Instance) bool {
		return slices.ContainsFunc(filters, func(f filter) bool { return !f.passes(i) })
	})
	slices.SortFunc(list, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
	if token := form.Get("NextToken"); token != "" {
		list = slices.DeleteFunc(list, func(i Instance) bool { return i.ID <= token })
	}
	out := &answer{Namespace: namespace, RequestID: id}
	if len(list) > size {
		list = list[:size]
		out.NextToken = list[size-1].ID
	}
	for _, i := range list {
		out.Reservations = append(out.Reservations, reservation{ID: "r-" + strings.TrimPrefix(i.ID, "i-"), Instances: []item{itemOf(i)}})
	}
	return out, nil
}

func itemOf(i Instance) item {
	it := item{ID: i.ID}
	it.State.Name, it.State.Code = i.State, codes[i.State]
	for k, v := range i.Tags {
		it.Tags = append(it.Tags, tag{k, v})
	}
	slices.SortFunc(it.Tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return it
}

// filtersOf reads Filter.N.Name and Filter.N.Value.M.
func filtersOf(form url.Values) ([]filter, *wire.Error) {
	var filters []filter
	for n := 1; form.Has(fmt.Sprintf("Filter.%d.Name", n)); n++ {
		f := filter{name: form.Get(fmt.Sprintf("Filter.%d.Name", n))}
		for m := 1; form.Has(fmt.Sprintf("Filter.%d.Value.%d", n, m)); m++ {
			f.values = append(f.values, form.Get(fmt.Sprintf("Filter.%d.Value.%d", n, m)))
		}
		known := f.name == "instance-id" || f.name == "instance-state-name" || strings.HasPrefix(f.name, "tag:")
		if !known {
			return nil, &wire.Error{Code: "InvalidParameterValue", Message: "The filter '" + f.name + "' is invalid"}
		}
		// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
		if len(f.values) > 200 {
			return nil, &wire.Error{Code: "FilterLimitExceeded", Message: "The maximum number of filter values specified on a single call is 200"}
		}
		filters = append(filters, f)
	}
	return filters, nil
}

func (f filter) passes(i Instance) bool {
	text, has := map[string]string{"instance-id": i.ID, "instance-state-name": i.State}[f.name]
	if key, ok := strings.CutPrefix(f.name, "tag:"); ok {
		text, has = i.Tags[key]
	}
	return has && slices.ContainsFunc(f.values, func(pattern string) bool { return matches(pattern, text) })
}

// matches knows * and ?, and \ before one that is meant.
func matches(pattern, text string) bool {
	// path.Match stops at slashes and knows sets.
	plain := strings.NewReplacer("/", "\x00", "[", `\[`).Replace(pattern)
	ok, err := path.Match(plain, strings.ReplaceAll(text, "/", "\x00"))
	return ok && err == nil
}
