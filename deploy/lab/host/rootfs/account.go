package rootfs

import (
	"strconv"
	"strings"
)

// Account is a line of /etc/passwd. Home is a path of the host.
type Account struct {
	Name, Password string
	UID, GID       int
	Gecos          string
	Home, Shell    string
}

// String returns the line, without its end.
func (a Account) String() string {
	return strings.Join([]string{a.Name, a.Password, strconv.Itoa(a.UID), strconv.Itoa(a.GID), a.Gecos, a.Home, a.Shell}, ":")
}

// Accounts returns the lines of /etc/passwd that getpwent would.
func (r Root) Accounts() ([]Account, error) {
	lines, err := r.read("/etc/passwd")
	var all []Account
	for _, l := range lines {
		f := strings.Split(l, ":")
		if len(f) != 7 {
			continue
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil {
			all = append(all, Account{f[0], f[1], uid, gid, f[4], f[5], f[6]})
		}
	}
	return all, err
}

// Account returns the account of this name, or of this number.
func (r Root) Account(name string) (a Account, ok bool, err error) {
	all, err := r.Accounts()
	for _, a := range all {
		if a.Name == name {
			return a, true, nil
		}
	}
	for _, a := range all {
		if strconv.Itoa(a.UID) == name {
			return a, true, nil
		}
	}
	return Account{}, false, err
}

// Group is a line of /etc/group.
type Group struct {
	Name    string
	GID     int
	Members []string
}

// String returns the line, without its end.
func (g Group) String() string {
	return g.Name + ":x:" + strconv.Itoa(g.GID) + ":" + strings.Join(g.Members, ",")
}

// Groups returns the lines of /etc/group.
func (r Root) Groups() ([]Group, error) {
	lines, err := r.read("/etc/group")
	var all []Group
	for _, l := range lines {
		f := strings.Split(l, ":")
		if len(f) != 4 {
			continue
		}
		gid, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		g := Group{Name: f[0], GID: gid}
		if f[3] != "" {
			g.Members = strings.Split(f[3], ",")
		}
		all = append(all, g)
	}
	return all, err
}

// GroupsOf returns the groups an account is in, its primary group first.
func (r Root) GroupsOf(a Account) ([]Group, error) {
	all, err := r.Groups()
	var in []Group
	for _, g := range all {
		if g.GID == a.GID {
			in = append(in, g)
		}
	}
	for _, g := range all {
		if g.GID == a.GID {
			continue
		}
		for _, m := range g.Members {
			if m == a.Name {
				in = append(in, g)
				break
			}
		}
	}
	return in, err
}

// Shadow is a line of /etc/shadow. Password is the hash. Days count from 1970
// and are negative when it never comes to that: Expires is the account's own,
// Lapses is the last one on which a password that is too old may be changed.
type Shadow struct {
	Line            string
	Password        string
	Expires, Lapses int
}

// Shadow returns the line of a user in /etc/shadow.
func (r Root) Shadow(user string) (s Shadow, ok bool, err error) {
	lines, err := r.read("/etc/shadow")
	for _, l := range lines {
		f := strings.Split(l, ":")
		if len(f) < 2 || f[0] != user {
			continue
		}
		s = Shadow{Line: l, Password: f[1], Expires: -1, Lapses: -1}
		if len(f) > 7 {
			if days, err := strconv.Atoi(f[7]); err == nil {
				s.Expires = days
			}
			changed, err1 := strconv.Atoi(f[2])
			most, err2 := strconv.Atoi(f[4])
			grace, err3 := strconv.Atoi(f[6])
			if err1 == nil && err2 == nil && err3 == nil && changed > 0 && min(most, grace) >= 0 {
				s.Lapses = changed + most + grace
			}
		}
		return s, true, nil
	}
	return Shadow{}, false, err
}
