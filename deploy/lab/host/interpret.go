package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// foreignTools are the machine's tools that a script which is not ours may run,
// beside the host's own. None of them runs other programs, or is kept from it.
var foreignTools = []string{
	"cat", "chmod", "cksum", "cp", "cut", "date", "grep", "head", "ln", "mkdir", "mv", "readlink",
	"rm", "rmdir", "sed", "sleep", "sort", "tail", "tee", "touch", "tr", "uniq", "wc",
}

// foreignLabTools are those of the host's own that run no other program.
var foreignLabTools = []string{"chown", "getent", "id", "ls", "ssh-keygen", "sshd"}

// interpret runs a script in a shell inside this process. Homes are those of
// the host, absolute paths are paths of the host, and the few tools that it may
// run get no path outside the host's folder.
func (h *Host) interpret(ctx context.Context, diskFull bool, env []string, text string) Output {
	var stdout, stderr cappedBuffer
	out := func(status int) Output {
		return Output{Stdout: stdout.String(), Stderr: stderr.String(), ExitCode: status}
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "_script.sh")
	if err != nil {
		fmt.Fprintln(&stderr, err)
		return out(2)
	}
	c := cage{root: h.root, diskFull: diskFull, hostname: h.Info().ComputerName}
	shell, err := interp.New(
		interp.Env(homes{expand.ListEnviron(append(env, "HOME="+h.root.Path("/root"))...), h.root}),
		interp.Dir(h.root.Path("/root")),
		interp.StdIO(nil, &stdout, &stderr),
		interp.OpenHandler(c.open),
		interp.ReadDirHandler2(c.readDir),
		interp.StatHandler(c.stat),
		interp.AccessHandler(c.access),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return c.exec }),
	)
	if err != nil {
		fmt.Fprintln(&stderr, err)
		return out(127)
	}
	err = shell.Run(ctx, file)
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		return out(int(status))
	}
	if err != nil {
		fmt.Fprintln(&stderr, err)
		return out(1)
	}
	return out(0)
}

// homes is an environment in which ~NAME is the home of the host's account
// NAME. A name that is none of them stays as it is, and so never becomes a home
// of this machine.
type homes struct {
	expand.Environ
	root rootfs.Root
}

func (e homes) Get(name string) expand.Variable {
	user, ok := strings.CutPrefix(name, "HOME ")
	if !ok {
		return e.Environ.Get(name)
	}
	home := "~" + user
	if a, ok, err := e.root.Account(user); ok && err == nil {
		home = e.root.Path(a.Home)
	}
	return expand.Variable{Set: true, Kind: expand.String, Str: home}
}

// cage is what a foreign script sees of this machine.
type cage struct {
	root     rootfs.Root
	diskFull bool
	hostname string
}

// errOutside is given for a path that a symbolic link leads out of the folder.
var errOutside = errors.New("outside the host's folder")

// path returns where a name of the script stands, and refuses one that a
// symbolic link leads out of the host's folder.
func (c cage) path(ctx context.Context, name string) (string, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(interp.HandlerCtx(ctx).Dir, name)
	}
	name = c.root.Path(name)
	if err := c.inside(name); err != nil {
		return "", &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return name, nil
}

// inside follows the symbolic links of the longest part that exists.
func (c cage) inside(path string) error {
	for p := path; c.root.Has(p); p = filepath.Dir(p) {
		target, err := filepath.EvalSymlinks(p)
		if err == nil {
			if !c.root.Has(target) {
				return errOutside
			}
			return nil
		}
		// A link whose target is missing would be made by a write.
		if to, err := os.Readlink(p); err == nil && (filepath.IsAbs(to) || !c.root.Has(filepath.Join(filepath.Dir(p), to))) {
			return errOutside
		}
	}
	return nil
}

func (c cage) open(ctx context.Context, name string, flag int, perm os.FileMode) (io.ReadWriteCloser, error) {
	if name == os.DevNull {
		return os.OpenFile(name, flag, perm)
	}
	path, err := c.path(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flag, perm)
	if err == nil && c.diskFull && flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		// The file is made or emptied, as on a full disk; this shell ignores
		// errors of its own echo, so the redirection fails instead.
		f.Close()
		return nil, &fs.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
	}
	return f, err
}

func (c cage) readDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	path, err := c.path(ctx, name)
	if err != nil {
		return nil, err
	}
	return os.ReadDir(path)
}

func (c cage) stat(ctx context.Context, name string, follow bool) (fs.FileInfo, error) {
	path, err := c.path(ctx, name)
	if err != nil {
		return nil, err
	}
	if follow {
		return os.Stat(path)
	}
	return os.Lstat(path)
}

// access allows everything that exists, as root's access does.
func (c cage) access(ctx context.Context, name string, _ interp.AccessMode) error {
	_, err := c.stat(ctx, name, true)
	return err
}

func (c cage) exec(ctx context.Context, args []string) error {
	sh := interp.HandlerCtx(ctx)
	name := filepath.Base(args[0])
	switch name {
	case "hostname":
		fmt.Fprintln(sh.Stdout, c.hostname)
		return nil
	case "whoami":
		fmt.Fprintln(sh.Stdout, "root")
		return nil
	}
	program := ""
	switch {
	case slices.Contains(foreignLabTools, name):
		program = c.root.Path("/bin/" + name)
	case slices.Contains(foreignTools, name):
		program = onMachine(name)
	}
	if program == "" {
		fmt.Fprintf(sh.Stderr, "%s: command not found\n", args[0])
		return interp.ExitStatus(127)
	}
	args, err := c.arguments(ctx, name, args[1:])
	if err != nil {
		fmt.Fprintf(sh.Stderr, "%s: %v\n", name, err)
		return interp.ExitStatus(126)
	}
	command := append([]string{program}, args...)
	if c.diskFull {
		command = append(fullDisk[:len(fullDisk):len(fullDisk)], command...)
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = sh.Dir
	cmd.Env = []string{"PATH=" + c.root.Path("/bin")}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = sh.Stdin, sh.Stdout, sh.Stderr
	status, err := runGroup(cmd)
	if err != nil {
		return err
	}
	if status != 0 {
		return interp.ExitStatus(status)
	}
	return nil
}

// arguments turns the paths among a tool's arguments into paths below the
// host's folder and refuses what could lead out of it.
func (c cage) arguments(ctx context.Context, tool string, args []string) ([]string, error) {
	var out []string
	text := scriptArgument(tool, args)
	if tool == "sed" {
		if sandboxedSed() {
			out = append(out, "--sandbox")
		} else if err := c.harmlessSed(args); err != nil {
			return nil, err
		}
	}
	for i, arg := range args {
		switch {
		case i == text || arg == os.DevNull:
		case strings.HasPrefix(arg, "-"):
			if strings.Contains(arg, "/") && !(tool == "sed" && strings.HasPrefix(arg, "-e")) {
				return nil, fmt.Errorf("option %s: %w", arg, errOutside)
			}
		default:
			path, err := c.path(ctx, arg)
			switch {
			case filepath.IsAbs(arg) || slices.Contains(strings.Split(arg, "/"), ".."):
				if err != nil {
					return nil, err
				}
				arg = path
			case err != nil:
				return nil, err
			}
		}
		out = append(out, arg)
	}
	return out, nil
}

// scriptArgument returns the place of the argument that is a pattern or a
// program and not a path, or -1.
func scriptArgument(tool string, args []string) int {
	if tool != "grep" && tool != "sed" && tool != "tr" && tool != "date" {
		return -1
	}
	for i, arg := range args {
		switch {
		case arg == "-e" && i+1 < len(args):
			return i + 1
		case strings.HasPrefix(arg, "-e"), strings.HasPrefix(arg, "-f"):
			return -1
		case !strings.HasPrefix(arg, "-"):
			return i
		}
	}
	return -1
}

// sandboxedSed reports whether the machine's sed can be told not to open files
// and not to run commands of its own.
var sandboxedSed = sync.OnceValue(func() bool {
	return exec.Command(onMachine("sed"), "--sandbox", "-n", "p", os.DevNull).Run() == nil
})

// harmlessSed refuses sed programs that name a home of this machine, where sed
// has no sandbox: its commands r and w open files.
func (c cage) harmlessSed(args []string) error {
	home, _ := os.UserHomeDir()
	for _, arg := range args {
		for _, place := range []string{"/Users/", "/home/", "/root/", home} {
			if place != "" && strings.Contains(arg, place) && !strings.Contains(arg, string(c.root)) {
				return fmt.Errorf("program %q: %w", arg, errOutside)
			}
		}
	}
	return nil
}
