package wire

import (
	"bytes"
	"errors"
	"net/http"
)

// answer is a reply before it is written.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	code    string // of the error, if it is one
	fault   error
	dialect dialect
	dropped bool
}

func failed(d dialect, err error) answer {
	if errors.Is(err, ErrDropped) {
		return answer{dropped: true}
	}
	e := asError(err)
	return answer{status: e.status(), code: e.Code, fault: e, dialect: d}
}

func (a answer) write(w http.ResponseWriter, r Request) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.Header().Set("x-amzn-RequestId", r.ID)
	if a.fault != nil {
		a.body = a.dialect.encode(w.Header(), asError(a.fault), r)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a caller that has gone away is nobody's error
}

// keptResponse is an http.ResponseWriter that keeps what it is given.
type keptResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *keptResponse) Header() http.Header { return k.header }

func (k *keptResponse) WriteHeader(status int) {
	if k.status == 0 && status >= 200 {
		k.status = status
	}
}

func (k *keptResponse) Write(p []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	return k.body.Write(p)
}
