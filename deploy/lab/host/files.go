package host

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// canonical returns an existing folder as the root of a host.
func canonical(folder string) (rootfs.Root, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	folder, err = filepath.EvalSymlinks(folder)
	return rootfs.Root(folder), err
}

// replace writes a file as a whole: a reader sees the old text or the new one.
func replace(name string, text []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// makeDir makes a directory of the host, and those above it, with this mode.
func makeDir(root rootfs.Root, hostPath string, mode os.FileMode) error {
	dir := root.Path(hostPath)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}
