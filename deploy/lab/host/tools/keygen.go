package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"math/bits"
	"os"
	"strconv"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
	"github.com/keytrail/keytrail/deploy/lab/host/sshdconf"
)

// sshKeygen prints the fingerprints of all keys in a file: -l -f FILE, where
// FILE may be - for standard input. Lines that hold no key are skipped; a file
// without any is an error with status 255, as with the real one. With -Q, FILE
// is a key revocation list, and the first key of each further file is looked up.
func sshKeygen(_ rootfs.Root, args []string) int {
	o, problem := keygenOptionsOf(args)
	switch {
	case problem != "":
		return fail(1, problem)
	case o.file == "" || o.list == o.query:
		return fail(1, "ssh-keygen: only -l -f FILE and -Q -f FILE KEY… are known here")
	case o.query:
		return queryRevoked(o.file, o.rest)
	case len(o.rest) > 0:
		return fail(1, "Too many arguments.")
	}
	shown, from := o.file, os.ReadFile
	if o.file == "-" {
		shown, from = "(stdin)", func(string) ([]byte, error) { return io.ReadAll(os.Stdin) }
	}
	text, err := from(o.file)
	if err != nil {
		return fail(255, "ssh-keygen: "+o.file+": "+reason(err))
	}
	out := fingerprints(text)
	if len(out) == 0 {
		return fail(255, shown+" is not a public key file.")
	}
	return write(string(out))
}

type keygenOptions struct {
	file        string
	list, query bool
	rest        []string
}

func keygenOptionsOf(args []string) (o keygenOptions, problem string) {
	for i := 0; i < len(args); i++ {
		letters, ok := strings.CutPrefix(args[i], "-")
		if !ok {
			o.rest = append(o.rest, args[i])
			continue
		}
		for letters != "" {
			letter := letters[0]
			letters = letters[1:]
			switch letter {
			case 'l':
				o.list = true
			case 'Q':
				o.query = true
			case 'f', 'E':
				value := letters
				if letters = ""; value == "" {
					if i++; i == len(args) {
						return o, "option requires an argument -- " + string(letter)
					}
					value = args[i]
				}
				if letter == 'f' {
					o.file = value
				} else if !strings.EqualFold(value, "sha256") {
					return o, "ssh-keygen: only SHA256 is known here"
				}
			default:
				return o, "unknown option -- " + string(letter)
			}
		}
	}
	return o, ""
}

// queryRevoked looks keys up in a key revocation list. Status 1: one is in it.
func queryRevoked(list string, files []string) int {
	krl, err := os.ReadFile(list)
	if err != nil {
		return fail(255, "Cannot open "+list+": "+reason(err))
	}
	if !sshdconf.IsKRL(krl) {
		return fail(255, "Invalid KRL file "+list+": KRL file has invalid magic number")
	}
	status := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fail(255, "Cannot load public key "+file+": "+reason(err))
		}
		line, _, _ := bytes.Cut(bytes.TrimLeft(text, " \t"), []byte("\n"))
		k, comment, ok := parseKey(line)
		if !ok {
			return fail(255, "Cannot load public key "+file+": invalid format")
		}
		revoked, err := sshdconf.Revoked(krl, k.blob)
		if err != nil {
			return fail(255, "Invalid KRL file "+list+": "+err.Error())
		}
		verdict := "ok"
		if revoked {
			verdict, status = "REVOKED", 1
		}
		write(file + " (" + string(bytes.TrimSpace(comment)) + "): " + verdict + "\n")
	}
	return status
}

// fingerprints returns a line for each key of an authorized_keys file.
func fingerprints(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		// The real one reads C strings: a NUL ends the line.
		line, _, _ = bytes.Cut(line, []byte{0})
		line = bytes.TrimLeft(line, " \t")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		comment := []byte("no comment")
		k, rest, ok := parseKey(line)
		if !ok {
			prefix := pastOptions(line)
			if prefix == len(line) {
				continue
			}
			comment = line[:prefix]
			if k, rest, ok = parseKey(line[prefix+1:]); !ok {
				continue
			}
		}
		rest = bytes.TrimLeft(rest, " \t")
		if len(rest) > 0 && rest[0] != '#' {
			comment = rest
		}
		sum := sha256.Sum256(k.hashed)
		out = strconv.AppendInt(out, int64(k.bits), 10)
		out = append(out, " SHA256:"...)
		out = base64.RawStdEncoding.AppendEncode(out, sum[:])
		out = append(out, ' ')
		out = appendVisible(out, comment)
		out = append(append(append(out, " ("...), k.name...), ")\n"...)
	}
	return out
}

// pastOptions returns the place of the first blank outside quotes.
func pastOptions(line []byte) int {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t'):
			return i
		}
	}
	return len(line)
}

// appendVisible writes what is not printable ASCII as \ooo, as OpenSSH does in
// the C locale.
func appendVisible(out, text []byte) []byte {
	for _, c := range text {
		if c >= ' ' && c < 0x7f || c == '\t' || c == '\r' {
			out = append(out, c)
		} else {
			out = append(out, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		}
	}
	return out
}

// key is what a fingerprint line says of a public key.
type key struct {
	name   string
	bits   int
	blob   []byte
	hashed []byte // the plain key, also of a certificate
}

// parseKey reads "TYPE BASE64" at the start of a line.
func parseKey(line []byte) (k key, rest []byte, ok bool) {
	i := bytes.IndexAny(line, " \t")
	if i < 0 {
		return key{}, nil, false
	}
	algorithm := string(line[:i])
	rest = bytes.TrimLeft(line[i:], " \t")
	if j := bytes.IndexAny(rest, " \t"); j >= 0 {
		line, rest = rest[:j], rest[j:]
	} else {
		line, rest = rest, nil
	}
	line = bytes.TrimRight(line, "\r\v\f")
	blob := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Decode(blob, line)
	if err != nil {
		return key{}, nil, false
	}
	k, ok = parseBlob(algorithm, blob[:n])
	return k, rest, ok
}

const certSuffix = "-cert-v01@openssh.com"

// parseBlob reads the fields of a key and checks their lengths.
func parseBlob(algorithm string, blob []byte) (key, bool) {
	f := fields{rest: blob}
	if string(f.next()) != algorithm {
		return key{}, false
	}
	plain, isCert := strings.CutSuffix(algorithm, certSuffix)
	if isCert {
		f.next() // nonce
	}
	k := key{}
	start := f.rest
	switch base := strings.TrimSuffix(plain, "@openssh.com"); base {
	case "ssh-ed25519", "sk-ssh-ed25519":
		k = key{name: "ED25519", bits: 256}
		f.length(32)
	case "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ecdsa-sha2-nistp256":
		curve := string(f.next())
		k = key{name: "ECDSA"}
		k.bits, _ = strconv.Atoi(strings.TrimPrefix(curve, "nistp"))
		f.bad = f.bad || !strings.HasSuffix(base, curve) || k.bits == 0
		f.length(1 + 2*((k.bits+7)/8))
	case "ssh-rsa":
		f.next() // exponent
		k = key{name: "RSA", bits: bitLen(f.next())}
		f.bad = f.bad || k.bits < 1024
	case "ssh-dss":
		k = key{name: "DSA", bits: bitLen(f.next())}
		f.next()
		f.next()
		f.next()
	default:
		return key{}, false
	}
	if strings.HasPrefix(plain, "sk-") {
		k.name += "-SK"
		f.next() // application
		plain += "@openssh.com"
	}
	k.blob, k.hashed = blob, blob
	if isCert {
		// A certificate has the fingerprint of the key in it.
		body := start[:len(start)-len(f.rest)]
		k.hashed = append(appendField(nil, plain), body...)
		k.name += "-CERT"
	} else if len(f.rest) > 0 {
		return key{}, false
	}
	return k, !f.bad
}

func appendField(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// fields reads the strings of SSH's wire format.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) next() []byte {
	if len(f.rest) < 4 {
		f.bad, f.rest = true, nil
		return nil
	}
	n := binary.BigEndian.Uint32(f.rest)
	if uint64(n) > uint64(len(f.rest)-4) {
		f.bad, f.rest = true, nil
		return nil
	}
	field := f.rest[4 : 4+n]
	f.rest = f.rest[4+n:]
	return field
}

func (f *fields) length(n int) {
	if len(f.next()) != n {
		f.bad = true
	}
}

// bitLen is the length of a positive integer.
func bitLen(b []byte) int {
	b = bytes.TrimLeft(b, "\x00")
	if len(b) == 0 {
		return 0
	}
	return (len(b)-1)*8 + bits.Len8(b[0])
}
