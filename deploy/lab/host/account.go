package host

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
	shadowFile = "/etc/shadow"
)

// firstUID is where the numbers of ordinary accounts begin.
const firstUID = 1000

// User is an account to be made.
type User struct {
	Name   string
	UID    int      // 0: the next free one from 1000, except for root
	Home   string   // empty: /home/NAME, or /root
	Shell  string   // empty: /bin/bash
	Groups []string // beside the group of its own name
	Keys   []string // lines of ~/.ssh/authorized_keys; none: no file
}

// userName is what useradd takes by default.
var userName = regexp.MustCompile(`^[a-z_][a-z0-9_.-]{0,31}$`)

// AddUser adds an account with its group, its home and its keys. Adding root
// gives root's account keys.
func (h *Host) AddUser(u User) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return addUser(h.root, u)
}

func addUser(root rootfs.Root, u User) error {
	if !userName.MatchString(u.Name) {
		return fmt.Errorf("user name %q is not one that useradd takes", u.Name)
	}
	a, known, err := root.Account(u.Name)
	switch {
	case err != nil:
		return err
	case known && u.Name != "root":
		return fmt.Errorf("user %s exists", u.Name)
	case !known:
		if a, err = newAccount(root, u); err != nil {
			return err
		}
	}
	if err := makeDir(root, a.Home, 0o700); err != nil {
		return err
	}
	if err := makeShell(root, a.Shell); err != nil {
		return err
	}
	if u.Keys == nil {
		return nil
	}
	return writeKeys(root, a, u.Keys)
}

// newAccount adds the lines of passwd, shadow and group.
func newAccount(root rootfs.Root, u User) (rootfs.Account, error) {
	a := rootfs.Account{Name: u.Name, Password: "x", UID: u.UID, Home: u.Home, Shell: u.Shell}
	if a.Home == "" {
		a.Home = "/home/" + u.Name
	}
	if a.Shell == "" {
		a.Shell = "/bin/bash"
	}
	accounts, err := root.Accounts()
	if err != nil {
		return a, err
	}
	if a.UID == 0 {
		a.UID = firstUID
		for _, other := range accounts {
			if other.UID >= a.UID && other.UID < 60000 {
				a.UID = other.UID + 1
			}
		}
	}
	a.GID = a.UID
	if err := appendLine(root, passwdFile, a.String()); err != nil {
		return a, err
	}
	if err := appendLine(root, shadowFile, u.Name+":*:20000:0:99999:7:::"); err != nil {
		return a, err
	}
	return a, joinGroups(root, a, u.Groups)
}

// joinGroups adds the account's own group, and the account to others.
func joinGroups(root rootfs.Root, a rootfs.Account, names []string) error {
	groups, err := root.Groups()
	if err != nil {
		return err
	}
	groups = append(groups, rootfs.Group{Name: a.Name, GID: a.GID})
	gid := 100
	for _, name := range names {
		found := false
		for i := range groups {
			if groups[i].Name == name {
				groups[i].Members = append(groups[i].Members, a.Name)
				found = true
			}
			if groups[i].GID < firstUID {
				gid = max(gid, groups[i].GID+1)
			}
		}
		if !found {
			groups = append(groups, rootfs.Group{Name: name, GID: gid, Members: []string{a.Name}})
		}
	}
	var text strings.Builder
	for _, g := range groups {
		text.WriteString(g.String() + "\n")
	}
	return replace(root.Path(groupFile), []byte(text.String()), 0o644)
}

// RemoveUser removes an account from passwd, shadow and group. Its home stays,
// as after userdel.
func (h *Host) RemoveUser(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok, err := h.root.Account(name); err != nil || !ok {
		return fmt.Errorf("remove user %s: no such user: %w", name, err)
	}
	for _, file := range []string{passwdFile, shadowFile, groupFile} {
		text, err := os.ReadFile(h.root.Path(file))
		if err != nil {
			return err
		}
		var kept strings.Builder
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, name+":") {
				kept.WriteString(line)
			}
		}
		info, err := os.Stat(h.root.Path(file))
		if err != nil {
			return err
		}
		if err := replace(h.root.Path(file), []byte(kept.String()), info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// SetShadow replaces a field of the user's line in /etc/shadow: 1 is the
// password, 7 the day since 1970 from which the account is expired.
func (h *Host) SetShadow(user string, field int, value string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, err := os.ReadFile(h.root.Path(shadowFile))
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if f[0] == user && field > 0 && field < len(f) {
			f[field] = value
			lines[i] = strings.Join(f, ":") + "\n"
			return replace(h.root.Path(shadowFile), []byte(strings.Join(lines, "")), 0o600)
		}
	}
	return fmt.Errorf("set field %s of user %s in %s: no such line", strconv.Itoa(field), user, shadowFile)
}

// AuthorizedKeys returns the path on this machine of the user's
// .ssh/authorized_keys, whether or not it exists.
func (h *Host) AuthorizedKeys(user string) string {
	home := "/home/" + user
	if a, ok, err := h.root.Account(user); err == nil && ok {
		home = a.Home
	}
	return h.root.Path(home + "/.ssh/authorized_keys")
}

// WriteKeys replaces the user's .ssh/authorized_keys by these lines, making
// the directory and the file as sshd wants them.
func (h *Host) WriteKeys(user string, lines ...string) error {
	a, ok, err := h.root.Account(user)
	if err != nil || !ok {
		return fmt.Errorf("write keys of %s: no such user: %w", user, err)
	}
	return writeKeys(h.root, a, lines)
}

func writeKeys(root rootfs.Root, a rootfs.Account, lines []string) error {
	dir := a.Home + "/.ssh"
	if err := makeDir(root, dir, 0o700); err != nil {
		return err
	}
	var text strings.Builder
	for _, l := range lines {
		text.WriteString(strings.TrimSuffix(l, "\n") + "\n")
	}
	return replace(root.Path(dir+"/authorized_keys"), []byte(text.String()), 0o600)
}

// appendLine adds a line to a file of the host.
func appendLine(root rootfs.Root, hostPath, line string) error {
	f, err := os.OpenFile(root.Path(hostPath), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// shellStub stands where a login shell would: sshd wants an executable file.
const shellStub = "#!/bin/sh\necho 'a host of the lab has no login shells' >&2\nexit 1\n"

// makeShell puts a stub where a shell belongs, unless something is there.
func makeShell(root rootfs.Root, shell string) error {
	if shell == "" {
		return nil
	}
	name := root.Path(shell)
	if _, err := os.Lstat(name); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(shellStub), 0o755)
}
