package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// folder is what a lab writes below. It is locked while the lab runs, so that
// two labs never share one.
type folder struct {
	path      string
	temporary bool
	lock      *os.File
}

// openFolder makes the folder if it is missing, with "hosts" and "secrets" in
// it, for nobody else to read.
func openFolder(path string) (*folder, error) {
	f := &folder{path: path}
	var err error
	if path == "" {
		f.temporary = true
		if f.path, err = os.MkdirTemp("", "keytrail-lab-"); err != nil {
			return nil, err
		}
	}
	if f.path, err = filepath.Abs(f.path); err != nil {
		return nil, err
	}
	for _, name := range []string{"hosts", "secrets"} {
		if err := os.MkdirAll(filepath.Join(f.path, name), 0o700); err != nil {
			return nil, err
		}
	}
	if f.lock, err = os.OpenFile(filepath.Join(f.path, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another lab runs in the folder %s: %w", f.path, err), f.lock.Close())
	}
	return f, nil
}

// close gives the folder up, and removes a temporary one. To close the file is
// not enough: a process that is being started has a copy of it until it executes
// its program.
func (f *folder) close() error {
	err := errors.Join(syscall.Flock(int(f.lock.Fd()), syscall.LOCK_UN), f.lock.Close())
	if f.temporary {
		err = errors.Join(err, os.RemoveAll(f.path))
	}
	return err
}
