package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// ls lists paths with virtual owners. It knows -l -d -n -L -i -a -A -1; owners
// are always numbers. What stands outside the host's folder appears as root's
// and writable by nobody else.
func ls(root rootfs.Root, args []string) int {
	opt, paths, bad := lsOptionsOf(args)
	if bad != 0 {
		return fail(2, "ls: invalid option -- '"+string(bad)+"'")
	}
	owners, err := root.Owners()
	if err != nil {
		return fail(2, "ls: "+err.Error())
	}
	l := lister{root: root, owners: owners, long: opt['l'] || opt['n'], follow: opt['L'], inode: opt['i']}
	status := 0
	for _, path := range paths {
		names := []string{path}
		info, err := l.stat(path)
		if err == nil && !opt['d'] && info.IsDir() {
			names, err = entries(path, opt['a'] || opt['A'])
		}
		if err != nil {
			status = fail(2, "ls: cannot access '"+path+"': "+reason(err))
			continue
		}
		for _, name := range names {
			if err := l.add(name, name != path); err != nil {
				status = fail(2, "ls: cannot access '"+name+"': "+reason(err))
			}
		}
	}
	if s := write(l.out.String()); s != 0 {
		return s
	}
	return status
}

func lsOptionsOf(args []string) (opt [128]bool, paths []string, bad byte) {
	for i, arg := range args {
		if arg == "--" {
			paths = append(paths, args[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			paths = append(paths, arg)
			continue
		}
		for _, c := range []byte(arg[1:]) {
			if strings.IndexByte("ldnLiaA1", c) < 0 {
				return opt, nil, c
			}
			opt[c] = true
		}
	}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	sort.Strings(paths)
	return opt, paths, 0
}

func entries(dir string, hidden bool) ([]string, error) {
	all, err := os.ReadDir(dir)
	var names []string
	for _, e := range all {
		if hidden || !strings.HasPrefix(e.Name(), ".") {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names, err
}

// reason is the text of the system's error alone.
func reason(err error) string {
	switch e := err.(type) {
	case *fs.PathError:
		err = e.Err
	case *os.SyscallError:
		err = e.Err
	}
	if err == syscall.ENOENT {
		return "No such file or directory"
	}
	return err.Error()
}

type lister struct {
	root                rootfs.Root
	owners              *rootfs.Owners
	long, follow, inode bool
	out                 strings.Builder
}

func (l *lister) stat(path string) (os.FileInfo, error) {
	if l.follow {
		return os.Stat(path)
	}
	return os.Lstat(path)
}

// add appends the line of one path.
func (l *lister) add(path string, baseOnly bool) error {
	info, err := l.stat(path)
	if err != nil {
		return err
	}
	sys := info.Sys().(*syscall.Stat_t)
	if l.inode {
		l.out.WriteString(strconv.FormatUint(uint64(sys.Ino), 10) + " ")
	}
	name := path
	if baseOnly {
		name = filepath.Base(path)
	}
	if !l.long {
		l.out.WriteString(name + "\n")
		return nil
	}
	target, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if l.follow {
		if target, err = filepath.EvalSymlinks(target); err != nil {
			return err
		}
	}
	mode := info.Mode()
	uid, gid := l.owners.Of(target)
	if !l.inHost(target) && mode.IsDir() {
		mode = fs.ModeDir | 0o755
	}
	when := info.ModTime()
	layout := "Jan _2 15:04"
	if age := time.Since(when); age > 182*24*time.Hour || age < -time.Hour {
		layout = "Jan _2  2006"
	}
	size := strconv.FormatInt(info.Size(), 10)
	if mode&fs.ModeSymlink != 0 {
		if to, err := os.Readlink(path); err == nil {
			name += " -> " + to
		}
	}
	l.out.WriteString(strings.Join([]string{
		modeText(mode), strconv.FormatUint(uint64(sys.Nlink), 10),
		strconv.Itoa(uid), strconv.Itoa(gid), size, when.Format(layout), name,
	}, " ") + "\n")
	return nil
}

// inHost reports whether a path is in the host's folder, its directory's
// symbolic links followed.
func (l *lister) inHost(path string) bool {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	return l.root.Has(path)
}

// modeText is the first column of a long line.
func modeText(m fs.FileMode) string {
	b := []byte("-rwxrwxrwx")
	for i := range 9 {
		if m.Perm()&(1<<(8-i)) == 0 {
			b[i+1] = '-'
		}
	}
	special := func(bit fs.FileMode, at int, with, without byte) {
		if m&bit == 0 {
			return
		}
		if b[at] == '-' {
			b[at] = without
		} else {
			b[at] = with
		}
	}
	special(fs.ModeSetuid, 3, 's', 'S')
	special(fs.ModeSetgid, 6, 's', 'S')
	special(fs.ModeSticky, 9, 't', 'T')
	switch {
	case m&fs.ModeDir != 0:
		b[0] = 'd'
	case m&fs.ModeSymlink != 0:
		b[0] = 'l'
	case m&fs.ModeNamedPipe != 0:
		b[0] = 'p'
	case m&fs.ModeSocket != 0:
		b[0] = 's'
	case m&fs.ModeCharDevice != 0:
		b[0] = 'c'
	case m&fs.ModeDevice != 0:
		b[0] = 'b'
	}
	return string(b)
}
