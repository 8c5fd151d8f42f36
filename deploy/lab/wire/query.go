package wire

import (
	"context"
	"encoding/xml"
	"net/http"
)

// query is a service of the query protocol.
type query struct {
	namespace string
	service   Service
}

// HandleQuery serves a service of the query protocol. The Body of a request is
// its form, application/x-www-form-urlencoded, whether it came as one or in a
// URL. The answer is a struct for encoding/xml, which becomes the Result of
// the action's Response, or nil where the action has none; a list in it is
// tagged NAME>member. The namespace is the service's own, such as
// https://iam.amazonaws.com/doc/2010-05-08/.
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
func (f *Front) HandleQuery(service, namespace string, s Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries[service] = query{namespace: namespace, service: s}
}

func (f *Front) serveQuery(hr *http.Request, r *Request, q query) answer {
	if !isForm(hr) {
		r.Body = []byte(hr.URL.RawQuery)
	}
	if r.Action = queryAction(hr, r.Body); r.Action == "" {
		return failed(queryXML, &Error{Code: "MissingAction", Message: "Could not find operation to perform"})
	}
	ctx := context.WithoutCancel(hr.Context())
	return f.guard(ctx, hr, r, queryXML, func() answer {
		out, err := q.service.Serve(ctx, *r)
		if err != nil {
			return failed(queryXML, err)
		}
		text, err := q.encode(*r, out)
		if err != nil {
			return failed(queryXML, err)
		}
		return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml"}}, body: text}
	})
}

type queryResponse struct {
	XMLName   xml.Name
	Result    *queryResult
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

type queryResult struct {
	XMLName xml.Name
	Members any
}

// MarshalXML writes the members of a result under the result's own name.
func (r queryResult) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(r.Members, xml.StartElement{Name: r.XMLName})
}

func (q query) encode(r Request, out any) ([]byte, error) {
	v := queryResponse{XMLName: xml.Name{Space: q.namespace, Local: r.Action + "Response"}, RequestID: r.ID}
	if out != nil {
		v.Result = &queryResult{XMLName: xml.Name{Local: r.Action + "Result"}, Members: out}
	}
	return xml.Marshal(v)
}
