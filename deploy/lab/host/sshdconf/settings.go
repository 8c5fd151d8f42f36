package sshdconf

import (
	"errors"
	"strconv"
	"strings"
)

// Settings are those that apply to one connection.
type Settings struct{ values values }

// All returns the values of a keyword, in the spelling of sshd -T; none if it
// is unset. The keyword must be one that this package prints.
func (s Settings) All(keyword string) []string {
	i := find(keyword)
	if i < 0 || keywords[i].kind == unread {
		panic("sshdconf: no setting " + keyword)
	}
	return s.values[i]
}

// First returns the first value of a keyword, or "".
func (s Settings) First(keyword string) string { return first(s.All(keyword)) }

// Yes reports whether a keyword is set to yes.
func (s Settings) Yes(keyword string) bool { return s.First(keyword) == "yes" }

// Number returns the value of a keyword that counts something.
func (s Settings) Number(keyword string) int {
	n, _ := strconv.Atoi(s.First(keyword))
	return n
}

func (s Settings) first(i int) string { return first(s.values[i]) }

func first(v []string) string {
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

// Accepts reports whether PubkeyAcceptedAlgorithms has the algorithm.
func (s Settings) Accepts(algorithm string) bool {
	return matchList(algorithm, s.First("pubkeyacceptedalgorithms")) == positive
}

// Admit returns why the access lists refuse a user, or nil: DenyUsers,
// AllowUsers, DenyGroups and AllowGroups, in this order. PermitRootLogin
// depends on the key as well and is the caller's.
func (s Settings) Admit(c Connection) error {
	switch denied, err := anyUser(c, s.All("denyusers")); {
	case err != nil:
		return err
	case denied:
		return errors.New("listed in DenyUsers")
	}
	if list := s.All("allowusers"); list != nil {
		switch allowed, err := anyUser(c, list); {
		case err != nil:
			return err
		case !allowed:
			return errors.New("not listed in AllowUsers")
		}
	}
	if anyGroup(c, s.All("denygroups")) {
		return errors.New("a group is listed in DenyGroups")
	}
	if list := s.All("allowgroups"); list != nil && !anyGroup(c, list) {
		return errors.New("none of the groups is listed in AllowGroups")
	}
	return nil
}

func anyUser(c Connection, patterns []string) (bool, error) {
	for _, p := range patterns {
		if ok, err := matchUser(c, p); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func anyGroup(c Connection, patterns []string) bool {
	for _, p := range patterns {
		for _, g := range c.Groups {
			if matchPattern(g, p) {
				return true
			}
		}
	}
	return false
}

// Text returns what sshd -T prints. path is applied to each absolute file
// name, so that a host whose root is a folder can say where its files are.
func (s Settings) Text(path func(string) string) string {
	var b strings.Builder
	line := func(name string, args ...string) {
		b.WriteString(name)
		for _, a := range args {
			b.WriteByte(' ')
			b.WriteString(a)
		}
		b.WriteByte('\n')
	}
	for i, k := range keywords {
		v := s.values[i]
		switch k.kind {
		case unread, include, match:
			continue
		case file, files:
			v = mapped(v, path)
		}
		switch {
		case v == nil && (k.value == "none" || k.value == "any"):
			line(k.name, k.value)
		case v != nil && (k.kind == files || k.kind == words || k.kind == methods):
			line(k.name, v...)
		default:
			for _, a := range v {
				line(k.name, a)
			}
		}
	}
	return b.String()
}

func mapped(names []string, path func(string) string) []string {
	var out []string
	for _, n := range names {
		if strings.HasPrefix(n, "/") {
			n = path(n)
		}
		out = append(out, n)
	}
	return out
}
