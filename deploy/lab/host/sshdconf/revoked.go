package sshdconf

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// Revoked reports whether a file named by RevokedKeys lists a public key, given
// as its wire form. The file is a key revocation list or has a public key on
// each line. sshd takes an error for a yes.
func Revoked(file, key []byte) (bool, error) {
	if IsKRL(file) {
		return revokedByList(file, key)
	}
	for line := range bytes.Lines(file) {
		words := bytes.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if len(words) < 2 {
			return false, errors.New("a line is no public key")
		}
		blob, err := base64.StdEncoding.DecodeString(string(words[1]))
		if err != nil {
			return false, errors.New("a line is no public key")
		}
		if bytes.Equal(blob, key) {
			return true, nil
		}
	}
	return false, nil
}

const krlMagic = "SSHKRL\n\x00"

// IsKRL reports whether a file is a binary key revocation list.
func IsKRL(file []byte) bool { return bytes.HasPrefix(file, []byte(krlMagic)) }

// Sections of a key revocation list (PROTOCOL.krl of OpenSSH).
const (
	krlKeys   = 2
	krlSHA1   = 3
	krlSHA256 = 5
)

var errKRL = errors.New("broken key revocation list, or one of certificates")

func revokedByList(file, key []byte) (bool, error) {
	const fixed = len(krlMagic) + 4 + 8 + 8 + 8 // version, number, date, flags
	if len(file) < fixed {
		return false, errKRL
	}
	rest := file[fixed:]
	ok := true
	next := func(b *[]byte) []byte {
		if len(*b) < 4 || uint64(binary.BigEndian.Uint32(*b)) > uint64(len(*b)-4) {
			ok, *b = false, nil
			return nil
		}
		n := binary.BigEndian.Uint32(*b)
		field := (*b)[4 : 4+n]
		*b = (*b)[4+n:]
		return field
	}
	next(&rest) // reserved
	next(&rest) // comment
	sum1, sum256 := sha1.Sum(key), sha256.Sum256(key)
	for ok && len(rest) > 0 {
		kind := rest[0]
		rest = rest[1:]
		section := next(&rest)
		var want []byte
		switch kind {
		case krlKeys:
			want = key
		case krlSHA1:
			want = sum1[:]
		case krlSHA256:
			want = sum256[:]
		default:
			return false, errKRL
		}
		for ok && len(section) > 0 {
			if bytes.Equal(next(&section), want) {
				return true, nil
			}
		}
	}
	if !ok {
		return false, errKRL
	}
	return false, nil
}
