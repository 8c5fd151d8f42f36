package s3

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"slices"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

const checksumPrefix = "X-Amz-Checksum-"

// checksums are the algorithms by the names of their headers.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
var checksums = map[string]func() hash.Hash{
	"Crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"Crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"Crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) }, // reversed, as hash/crc64 wants it
	"Sha1":      sha1.New,
	"Sha256":    sha256.New,
}

func sum(algorithm string, body []byte) string {
	h := checksums[algorithm]()
	_, _ = h.Write(body)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// sentChecksum returns the algorithm of the checksum that a request carries, ""
// if there is none. A body is checked against it, and so against Content-MD5
// by gofakes3.
func sentChecksum(h http.Header, body []byte) (algorithm string, err error) {
	for name := range h {
		a, ok := strings.CutPrefix(name, checksumPrefix)
		if !ok || a == "Mode" || a == "Type" || a == "Algorithm" {
			continue
		}
		if algorithm != "" {
			return "", refuse(errInvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		algorithm = a
	}
	switch {
	case algorithm == "":
		return "", nil
	case checksums[algorithm] == nil:
		return "", refuse(errInvalidRequest, "The algorithm type you specified in x-amz-checksum- header is invalid.")
	}
	want, name := h.Get(checksumPrefix+algorithm), strings.ToLower(algorithm)
	if b, err := base64.StdEncoding.DecodeString(want); err != nil || len(b) != checksums[algorithm]().Size() {
		return "", refuse(errInvalidRequest, "Value for x-amz-checksum-"+name+" header is invalid.")
	}
	if want != sum(algorithm, body) {
		return "", refuse(gofakes3.ErrBadDigest, "The "+strings.ToUpper(algorithm)+" you specified did not match the calculated checksum.")
	}
	return algorithm, nil
}

// keepChecksum sets the checksum that is kept with an object: the one that was
// sent, or as AWS does since 2024, a CRC64NVME of its own.
func keepChecksum(h http.Header, algorithm string, body []byte) {
	if algorithm == "" {
		algorithm = "Crc64nvme"
	}
	h.Set(checksumPrefix+algorithm, sum(algorithm, body))
	h.Set(checksumPrefix+"Type", "FULL_OBJECT")
}

// copyChecksums copies the checksum headers.
func copyChecksums(to, from http.Header) {
	for name, values := range from {
		if strings.HasPrefix(name, checksumPrefix) {
			to[name] = slices.Clone(values)
		}
	}
}
