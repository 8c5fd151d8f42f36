package s3

import (
	"net/http"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

// maxMetadata bounds the names and values of user metadata.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
const maxMetadata = 2 << 10

// kept are the headers of a PutObject that gofakes3 is shown: what it reads
// itself, and what is kept with the object.
var kept = []string{
	"Content-Disposition", "Content-Length", "Content-Md5", "Content-Type", "If-Match", "If-None-Match", headerLockMode, headerLockUntil,
}

// putObject checks what gofakes3 does not, and has it put the object.
func (s *Service) putObject(w http.ResponseWriter, r *http.Request, t target) error {
	if err := checkPut(r.Header); err != nil {
		return err
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	algorithm, err := sentChecksum(r.Header, body)
	if err != nil {
		return err
	}
	if err := checkRetention(r.Header, s.options.Now()); err != nil {
		return err
	}
	if r.Header.Get(headerLockMode) != "" && algorithm == "" && r.Header.Get("Content-Md5") == "" {
		return refuse(errInvalidRequest, "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters")
	}
	if isConditional(r.Header) {
		if err := s.conflict(); err != nil {
			return err
		}
	}
	clone := r.Clone(r.Context())
	clone.Header = keptHeaders(r.Header)
	keepChecksum(clone.Header, algorithm, body)
	a, err := s.speak(clone)
	if err != nil {
		return err
	}
	copyChecksums(a.header, clone.Header)
	a.write(w)
	return nil
}

// checkPut refuses what the lab does not model.
func checkPut(h http.Header) error {
	match, none := h.Get("If-Match"), h.Get("If-None-Match")
	switch {
	case h.Get("X-Amz-Copy-Source") != "", h.Get("X-Amz-Tagging") != "", h.Get("X-Amz-Object-Lock-Legal-Hold") == "ON":
		return gofakes3.ErrNotImplemented
	case none != "" && none != "*", match == "*", match != "" && none != "":
		return gofakes3.ErrNotImplemented
	}
	size := 0
	for name, values := range h {
		if meta, ok := strings.CutPrefix(name, "X-Amz-Meta-"); ok {
			size += len(meta) + len(strings.Join(values, ","))
		}
	}
	if size > maxMetadata {
		return gofakes3.ErrMetadataTooLarge
	}
	return nil
}

func isConditional(h http.Header) bool {
	return h.Get("If-Match") != "" || h.Get("If-None-Match") != ""
}

func keptHeaders(h http.Header) http.Header {
	out := http.Header{}
	for _, name := range kept {
		if values := h[name]; len(values) > 0 {
			out[name] = values
		}
	}
	for name, values := range h {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			out.Set(name, strings.Join(values, ","))
		}
	}
	if encoding := withoutChunked(h.Get("Content-Encoding")); encoding != "" {
		out.Set("Content-Encoding", encoding)
	}
	return out
}

// withoutChunked returns a Content-Encoding without the one that ends at S3.
func withoutChunked(encoding string) string {
	var rest []string
	for e := range strings.SplitSeq(encoding, ",") {
		if e = strings.TrimSpace(e); e != "" && e != "aws-chunked" {
			rest = append(rest, e)
		}
	}
	return strings.Join(rest, ",")
}

// getObject answers GetObject and HeadObject. gofakes3 heads the current
// version whatever the id, so that it is asked to get.
func (s *Service) getObject(w http.ResponseWriter, r *http.Request, _ target) error {
	clone := r.Clone(r.Context())
	clone.Method = http.MethodGet
	a, err := s.speak(clone)
	if err != nil {
		for _, name := range []string{"X-Amz-Delete-Marker", "X-Amz-Version-Id", "Etag"} {
			if values := a.header[name]; values != nil {
				w.Header()[name] = values
			}
		}
		return err
	}
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && strings.Trim(match, `"`) != strings.Trim(a.header.Get("Etag"), `"`) {
		return gofakes3.ErrPreconditionFailed
	}
	if !strings.EqualFold(r.Header.Get(checksumPrefix+"Mode"), "ENABLED") || a.status == http.StatusPartialContent {
		for name := range a.header {
			if strings.HasPrefix(name, checksumPrefix) {
				delete(a.header, name) // a part of the object has another
			}
		}
	}
	if r.Method == http.MethodHead {
		a.body.Reset()
	}
	a.write(w)
	return nil
}

// deleteObject removes a version for good, or puts a delete marker. A
// condition is about the current version; one that is absent fails it, which
// AWS does not document.
func (s *Service) deleteObject(w http.ResponseWriter, r *http.Request, t target) error {
	h := w.Header()
	if t.version != "" {
		v, err := s.store.purge(t.bucket, t.key, t.version, bypasses(r))
		if err != nil {
			return err
		}
		h.Set("X-Amz-Version-Id", t.version)
		if v != nil && v.Deleted {
			h.Set("X-Amz-Delete-Marker", "true")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	match := r.Header.Get("If-Match")
	if match != "" {
		if err := s.conflict(); err != nil {
			return err
		}
	}
	marker, err := s.store.delete(t.bucket, t.key, func(b *bucket) error {
		if v := b.live(t.key); match != "" && (v == nil || !sameTag(match, v)) {
			return gofakes3.ErrPreconditionFailed
		}
		return nil
	})
	if err != nil {
		return err
	}
	if marker != nil {
		h.Set("X-Amz-Version-Id", marker.ID)
		h.Set("X-Amz-Delete-Marker", "true")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
