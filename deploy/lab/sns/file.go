package sns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// newFile writes a file that was not there: its name is the time and a number,
// so that a listing shows files in their order. The caller holds mu.
func (s *Service) newFile(dir, ending, text string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s.files++
	name := fmt.Sprintf("%s-%04d%s", s.now().Format("20060102T150405Z"), s.files, ending)
	t, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = t.WriteString(text)
	if err = errors.Join(err, t.Close()); err != nil {
		return errors.Join(err, os.Remove(t.Name()))
	}
	return os.Rename(t.Name(), filepath.Join(dir, name))
}

// appendFile adds to a file, and makes it when it is missing. The caller holds
// mu.
func appendFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
