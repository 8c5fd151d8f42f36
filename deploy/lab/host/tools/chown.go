package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// chown changes virtual owners: [-h] [-R] OWNER[:GROUP] PATH… or
// --reference=FILE PATH….
func chown(root rootfs.Root, args []string) int {
	o := chownOptions{uid: -1, gid: -1, follow: true}
	args, problem := o.read(root, args)
	if problem == "" && len(args) == 0 {
		problem = "missing operand"
	}
	if problem != "" {
		return fail(1, "chown: "+problem)
	}
	status := 0
	for _, path := range args {
		if err := o.apply(root, path); err != nil {
			status = fail(1, "chown: cannot access '"+path+"': "+reason(err))
		}
	}
	return status
}

type chownOptions struct {
	uid, gid          int // negative: as it is
	follow, recursive bool
}

// read reads options and the owner, and returns the paths.
func (o *chownOptions) read(root rootfs.Root, args []string) (paths []string, problem string) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		arg := args[0]
		args = args[1:]
		if file, ok := strings.CutPrefix(arg, "--reference="); ok {
			owners, err := root.Owners()
			if err == nil {
				file, err = filepath.EvalSymlinks(file)
			}
			if err != nil {
				return nil, "failed to get attributes of '" + file + "': " + reason(err)
			}
			o.uid, o.gid = owners.Of(file)
			return args, ""
		}
		switch arg {
		case "--":
		case "-h", "--no-dereference":
			o.follow = false
		case "-R":
			o.recursive = true
		default:
			return nil, "unrecognized option '" + arg + "'"
		}
	}
	if len(args) == 0 {
		return nil, ""
	}
	o.uid, o.gid, problem = ownerOf(root, args[0])
	return args[1:], problem
}

func (o chownOptions) apply(root rootfs.Root, path string) error {
	path, err := filepath.Abs(path)
	if err == nil && o.follow {
		path, err = filepath.EvalSymlinks(path)
	}
	if err == nil {
		_, err = os.Lstat(path)
	}
	if err != nil {
		return err
	}
	if !o.recursive {
		return root.SetOwner(path, o.uid, o.gid)
	}
	return filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.SetOwner(p, o.uid, o.gid)
	})
}

// ownerOf reads OWNER, OWNER:GROUP, OWNER: (the owner's own group) or :GROUP.
func ownerOf(root rootfs.Root, spec string) (uid, gid int, problem string) {
	user, group, both := strings.Cut(spec, ":")
	uid, gid = -1, -1
	if user != "" {
		a, ok, err := root.Account(user)
		n, notNumber := strconv.Atoi(user)
		switch {
		case err == nil && ok:
			uid = a.UID
			if both && group == "" {
				gid = a.GID
			}
		case notNumber == nil && n >= 0:
			uid = n
		default:
			return 0, 0, "invalid user: '" + spec + "'"
		}
	}
	if group == "" {
		return uid, gid, ""
	}
	line, ok, err := findGroup(root, group)
	n, notNumber := strconv.Atoi(group)
	switch {
	case err == nil && ok:
		gid, _ = strconv.Atoi(strings.Split(line, ":")[2])
	case notNumber == nil && n >= 0:
		gid = n
	default:
		return 0, 0, "invalid group: '" + spec + "'"
	}
	return uid, gid, ""
}
