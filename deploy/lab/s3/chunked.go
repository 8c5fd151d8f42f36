package s3

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

// readBody reads a request's body as its sender meant it and puts it back: the
// aws-chunked encoding is undone, its trailers become headers, and a declared
// SHA-256 or length must be right. Chunk signatures are not checked.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	declared := r.Header.Get("X-Amz-Content-Sha256")
	if strings.HasPrefix(declared, "STREAMING-") {
		if body, err = unchunk(body, r.Header); err != nil {
			return nil, err
		}
	} else if sum := sha256.Sum256(body); len(declared) == 64 && declared != hex.EncodeToString(sum[:]) {
		return nil, errSHA256
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return body, nil
}

// unchunk undoes aws-chunked and adds the trailers to the headers.
func unchunk(body []byte, h http.Header) ([]byte, error) {
	in := bufio.NewReader(bytes.NewReader(body))
	var out bytes.Buffer
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, gofakes3.ErrIncompleteBody
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";") // what follows is the signature
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil {
			return nil, gofakes3.ErrIncompleteBody
		}
		if n == 0 {
			break
		}
		if _, err := io.CopyN(&out, in, int64(n)); err != nil {
			return nil, gofakes3.ErrIncompleteBody
		}
		if end, err := in.ReadString('\n'); err != nil || end != "\r\n" {
			return nil, gofakes3.ErrIncompleteBody
		}
	}
	if want := h.Get("X-Amz-Decoded-Content-Length"); want != "" && want != strconv.Itoa(out.Len()) {
		return nil, gofakes3.ErrIncompleteBody
	}
	announced := strings.ToLower(h.Get("X-Amz-Trailer"))
	for announced != "" {
		line, err := in.ReadString('\n')
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && strings.EqualFold(name, announced) {
			h.Set(name, strings.TrimSpace(value))
			break
		}
		if err != nil {
			return nil, refuse(gofakes3.ErrMalformedPOSTRequest, "The request contained trailing data that was not well-formed or did not conform to our published schema.")
		}
	}
	return out.Bytes(), nil
}
