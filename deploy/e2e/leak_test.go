package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// leaks says where something that must stay secret stands below a folder, other than in the secret
// store. Every world looks for its private keys and rotation tokens when its test ends.
func leaks(folder string, secrets map[string][][]byte) error {
	store := filepath.Join(folder, "secrets")
	var errs []error
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // a temporary file
		case err != nil:
			return err
		case path == store:
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		text := unbroken.Replace(string(content))
		for what, forms := range secrets {
			for _, f := range forms {
				if strings.Contains(text, string(f)) || bytes.Contains(content, f) {
					errs = append(errs, fmt.Errorf("%s stands in %s", what, path))
					break
				}
			}
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// unbroken takes out line ends, also those that JSON has escaped.
var unbroken = strings.NewReplacer("\r", "", "\n", "", `\r`, "", `\n`, "")

// forms returns how the secret numbers of a private key could show up in a text without line ends: as
// they are, in hexadecimal, and in base64 wherever they begin in it, as they do in a PEM block.
func forms(private string) [][]byte {
	key, err := ssh.ParseRawPrivateKey([]byte(private))
	if err != nil {
		return [][]byte{[]byte(private)} // what a test took for a key
	}
	var numbers [][]byte
	switch k := key.(type) {
	case ed25519.PrivateKey:
		numbers = [][]byte{k.Seed()}
	case *ed25519.PrivateKey:
		numbers = [][]byte{k.Seed()}
	case *ecdsa.PrivateKey:
		if d, err := k.Bytes(); err == nil {
			numbers = [][]byte{d}
		}
	case *rsa.PrivateKey:
		numbers = [][]byte{k.D.Bytes(), k.Primes[0].Bytes(), k.Primes[1].Bytes()}
	}
	var all [][]byte
	for _, n := range numbers {
		all = append(all, n, []byte(hex.EncodeToString(n)))
		for shift := range 3 {
			// Of three bytes in a row, the first and the last may share a digit with their neighbours.
			padded := append(make([]byte, shift), n...)
			padded = padded[:len(padded)/3*3]
			text := base64.StdEncoding.EncodeToString(padded)[4:]
			all = append(all, []byte(text), []byte(strings.NewReplacer("+", "-", "/", "_").Replace(text)))
		}
	}
	return all
}

// secretsOf returns what the recorded calls of a lab had in them that must stay secret.
func secretsOf(calls []wire.Call) map[string][][]byte {
	found := map[string][][]byte{}
	for _, c := range calls {
		if c.Service != "secretsmanager" {
			continue
		}
		var in struct{ SecretString, RotationToken string }
		if json.Unmarshal(c.Body, &in) != nil {
			continue
		}
		if in.RotationToken != "" {
			found["the rotation token "+in.RotationToken] = [][]byte{[]byte(in.RotationToken)}
		}
		var pair struct{ PrivateKey string }
		if json.Unmarshal([]byte(in.SecretString), &pair) == nil && pair.PrivateKey != "" {
			found["a private key of a "+c.Action] = forms(pair.PrivateKey)
		}
	}
	return found
}

func TestAPlantedSecretIsFound(t *testing.T) {
	t.Parallel()
	k := newKey(t, "planted")
	block, _ := pem.Decode([]byte(k.private))
	quoted, err := json.Marshal(k.private)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it stands in the secret": k.private,
		"escaped in JSON":            string(quoted),
		"in hexadecimal":             hex.EncodeToString(block.Bytes),
		"as bytes":                   string(block.Bytes),
		"without line ends":          base64.StdEncoding.EncodeToString(block.Bytes),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path := filepath.Join(folder, "logs", "function.log")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("something before "+text+" and after"), 0o600); err != nil {
				t.Fatal(err)
			}
			if leaks(folder, map[string][][]byte{"the key": forms(k.private)}) == nil {
				t.Error("the planted key was not found")
			}
			if err := leaks(folder, map[string][][]byte{"another key": forms(newKey(t, "other").private)}); err != nil {
				t.Errorf("a key was found that is not there: %v", err)
			}
		})
	}
}
