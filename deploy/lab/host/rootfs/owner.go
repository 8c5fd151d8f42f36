package rootfs

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ownersFile lists, a line each, "UID:GID /path/of/the/host".
const ownersFile = "/owners"

// Owners knows who owns the files of a host, as it was when it was read.
type Owners struct {
	root     Root
	accounts []Account
	explicit map[string]ownership
}

type ownership struct{ uid, gid int }

// Owners reads the accounts and the file named owners.
func (r Root) Owners() (*Owners, error) {
	accounts, err := r.Accounts()
	if err != nil {
		return nil, err
	}
	lines, err := r.read(ownersFile)
	if err != nil {
		return nil, err
	}
	o := &Owners{root: r, accounts: accounts, explicit: make(map[string]ownership, len(lines))}
	for _, l := range lines {
		owner, path, _ := strings.Cut(l, " ")
		u, g, _ := strings.Cut(owner, ":")
		uid, err1 := strconv.Atoi(u)
		gid, err2 := strconv.Atoi(g)
		if err1 == nil && err2 == nil && path != "" {
			o.explicit[path] = ownership{uid, gid}
		}
	}
	return o, nil
}

// Of returns the owner and group of a path on this machine. Symbolic links in
// its directory are followed, its last component is not. Everything outside
// the host's folder is root's.
func (o *Owners) Of(path string) (uid, gid int) {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	if !o.root.Has(path) {
		return 0, 0
	}
	hostPath := o.root.HostPath(path)
	if e, ok := o.explicit[hostPath]; ok {
		return e.uid, e.gid
	}
	return o.byHome(hostPath)
}

// byHome is the rule where owners says nothing: the account with the longest
// home that the path is in.
func (o *Owners) byHome(hostPath string) (uid, gid int) {
	longest := 0
	for _, a := range o.accounts {
		home := filepath.Clean(a.Home)
		if len(home) > longest && home != "/" && (hostPath == home || strings.HasPrefix(hostPath, home+"/")) {
			longest, uid, gid = len(home), a.UID, a.GID
		}
	}
	return uid, gid
}

// SetOwner changes the owner of a path on this machine; a negative number
// leaves that half as it is. The path's last component is not followed.
func (r Root) SetOwner(path string, uid, gid int) error {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	if !r.Has(path) {
		return &os.PathError{Op: "chown", Path: path, Err: syscall.EPERM}
	}
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	o, err := r.Owners()
	if err != nil {
		return err
	}
	now := ownership{}
	now.uid, now.gid = o.Of(path)
	if uid >= 0 {
		now.uid = uid
	}
	if gid >= 0 {
		now.gid = gid
	}
	hostPath := r.HostPath(path)
	delete(o.explicit, hostPath)
	if u, g := o.byHome(hostPath); u != now.uid || g != now.gid {
		o.explicit[hostPath] = now
	}
	return o.write()
}

// write replaces the file named owners, dropping paths that are gone.
func (o *Owners) write() error {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(o.explicit)) {
		e := o.explicit[path]
		if _, err := os.Lstat(o.root.Path(path)); err == nil {
			b.WriteString(strconv.Itoa(e.uid) + ":" + strconv.Itoa(e.gid) + " " + path + "\n")
		}
	}
	name := o.root.Path(ownersFile)
	if err := os.WriteFile(name+".new", []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// lock keeps other writers of the host's own files out.
func (r Root) lock() (unlock func(), err error) {
	dir, err := os.Open(string(r))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		dir.Close()
		return nil, err
	}
	return func() { dir.Close() }, nil
}
