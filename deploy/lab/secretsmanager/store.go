package secretsmanager

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// longName is where a name that was escaped for a file name is cut short:
// file systems take 255 bytes.
const longName = 200

// file returns the name of a secret's file: its own name as far as a file may
// have it, and the end of its ARN.
func (sec *secret) file() string {
	name := url.PathEscape(sec.Name)
	if len(name) > longName {
		sum := sha256.Sum256([]byte(sec.Name))
		name = hex.EncodeToString(sum[:])
	}
	return name + "-" + sec.suffix() + ".json"
}

// load reads the secrets of a folder, and makes the folder where there is
// none. A rotation test that was cut off is undone.
func load(dir string) (map[string]*secret, error) {
	secrets := map[string]*secret{}
	if dir == "" {
		return secrets, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the secret store: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("open the secret store: %w", err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("open the secret store: %w", err)
		}
		var sec secret
		if err := json.Unmarshal(b, &sec); err != nil || sec.ARN == "" {
			return nil, fmt.Errorf("open the secret store: %s is not a secret's file", path) // err could quote the value
		}
		if f := sec.rotating(); f != nil && f.Test {
			sec.endTest()
		}
		secrets[sec.ARN] = &sec
	}
	return secrets, nil
}

// save writes a secret's file, whole or not at all, for its owner only.
func (s *Service) save(sec *secret) error {
	if s.options.Dir == "" {
		return nil
	}
	b, err := json.MarshalIndent(sec, "", "  ")
	if err != nil {
		return fmt.Errorf("save %s: %w", sec.ARN, err)
	}
	t, err := os.CreateTemp(s.options.Dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("save %s: %w", sec.ARN, err)
	}
	_, err = t.Write(append(b, '\n'))
	err = errors.Join(err, t.Close())
	if err == nil {
		err = os.Rename(t.Name(), filepath.Join(s.options.Dir, sec.file()))
	}
	if err != nil {
		return fmt.Errorf("save %s: %w", sec.ARN, errors.Join(err, os.Remove(t.Name())))
	}
	return nil
}

// put stores a changed clone in place of the secret. The caller holds mu.
func (s *Service) put(sec *secret) error {
	if err := s.save(sec); err != nil {
		return &wire.Error{Code: "InternalServiceError", Message: err.Error(), Status: 500}
	}
	s.secrets[sec.ARN] = sec
	return nil
}

// forget removes a secret for good. The caller holds mu.
func (s *Service) forget(sec *secret) error {
	delete(s.secrets, sec.ARN)
	if s.options.Dir == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(s.options.Dir, sec.file())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", sec.ARN, err)
	}
	return nil
}

// sorted returns all secrets by creation. The caller holds mu.
func (s *Service) sorted() []*secret {
	list := make([]*secret, 0, len(s.secrets))
	for _, sec := range s.secrets {
		list = append(list, sec)
	}
	slices.SortFunc(list, func(a, b *secret) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ARN, b.ARN)
	})
	return list
}
