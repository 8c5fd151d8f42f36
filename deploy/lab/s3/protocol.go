package s3

import (
	"bytes"
	"encoding/xml"
	"maps"
	"net/http"
	"strings"
)

// answer is what gofakes3 answered, not yet sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// speak has gofakes3 answer. Its refusals come back as errors, to be worded as
// AWS words them; the headers stand in the answer nevertheless.
func (s *Service) speak(r *http.Request) (*answer, error) {
	a := &answer{header: http.Header{}}
	s.protocol.ServeHTTP(a, r)
	a.WriteHeader(http.StatusOK)
	for name := range maps.Clone(a.header) {
		if strings.HasPrefix(name, "Access-Control-") || name == "Server" || name == "X-Amz-Request-Id" || name == "X-Amz-Id-2" {
			delete(a.header, name)
		} else if strings.HasPrefix(name, "X-Amz-Meta-") { // S3 sends these in lower case, and clients show them so
			a.header[strings.ToLower(name)] = a.header[name]
			delete(a.header, name)
		}
	}
	if a.status < 300 {
		return a, nil
	}
	var e refusal
	if err := xml.Unmarshal(a.body.Bytes(), &e); err != nil {
		return a, err
	}
	if e.Message == string(e.Code) {
		e.Message = "" // gofakes3 has no text for it
	}
	return a, refuse(e.Code, e.Message)
}

func (a *answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes())
}
