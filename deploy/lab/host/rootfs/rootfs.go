// Package rootfs reads a host's folder as the host itself would: where a path
// of the host stands on this machine, which accounts it has, and who owns a
// file. The lab runs without root, so owners are virtual: everything below a
// user's home is the user's and everything else is root's, unless the file
// named owners says otherwise. Modes are the real ones.
//
// The programs on a host's PATH start tens of thousands of times; this package
// keeps to the few imports that start fast.
package rootfs

import (
	"os"
	"path/filepath"
	"strings"
)

// Root is the folder of a host: an absolute path without symbolic links.
type Root string

// Path returns where a path of the host stands on this machine. A path that is
// already below the folder stays as it is; ".." never leads out of the folder.
func (r Root) Path(hostPath string) string {
	if r.Has(hostPath) {
		return filepath.Clean(hostPath)
	}
	return filepath.Join(string(r), filepath.Clean("/"+hostPath))
}

// Has reports whether a path of this machine is the folder or below it,
// without looking at symbolic links.
func (r Root) Has(path string) bool {
	path = filepath.Clean(path)
	return path == string(r) || strings.HasPrefix(path, string(r)+"/")
}

// HostPath returns what the host calls a path of this machine.
func (r Root) HostPath(path string) string {
	path = filepath.Clean(path)
	if path == string(r) {
		return "/"
	}
	return strings.TrimPrefix(path, string(r))
}

// read returns the lines of a file of the host; none if it does not exist.
func (r Root) read(hostPath string) ([]string, error) {
	text, err := os.ReadFile(r.Path(hostPath))
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), nil
}
