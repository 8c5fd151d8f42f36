package wire

import (
	"bytes"
	"context"
	"encoding/xml"
	"net/http"
	"net/url"
)

// Query makes a handler of a service that speaks the query protocol: a form
// with an Action in, XML out. What serve returns is a struct with xml tags, or
// nil where the action has no result; a list is tagged NAME>member. The
// namespace is the service's own, such as
// https://iam.amazonaws.com/doc/2010-05-08/.
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
func Query(namespace string, serve func(ctx context.Context, r Request, form url.Values) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := RequestFrom(hr.Context())
		err := hr.ParseForm()
		var out any
		if err == nil {
			out, err = serve(hr.Context(), r, hr.Form)
		}
		var text []byte
		if err == nil {
			text, err = encodeQuery(namespace, r, out)
		}
		if err != nil {
			e := asError(err)
			text = queryXML.encode(w.Header(), e, r)
			w.WriteHeader(e.status())
		} else {
			w.Header().Set("Content-Type", "text/xml")
		}
		_, _ = w.Write(text)
	})
}

// encodeQuery writes ACTIONResponse with ACTIONResult in it.
func encodeQuery(namespace string, r Request, out any) ([]byte, error) {
	var b bytes.Buffer
	e := xml.NewEncoder(&b)
	response := xml.StartElement{Name: xml.Name{Local: r.Action + "Response"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}}
	err := e.EncodeToken(response)
	if err == nil && out != nil {
		err = e.EncodeElement(out, xml.StartElement{Name: xml.Name{Local: r.Action + "Result"}})
	}
	if err == nil {
		id := struct {
			RequestID string `xml:"RequestId"`
		}{r.ID}
		err = e.EncodeElement(id, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}})
	}
	if err == nil {
		err = e.EncodeToken(response.End())
	}
	if err == nil {
		err = e.Flush()
	}
	return b.Bytes(), err
}
