// Package sshdconf reads sshd_config as OpenSSH 9.2 does and answers two
// questions about it: which settings apply to a connection, and what
// `sshd -T -C …` prints for it. It opens no socket and looks up no account; the
// caller says which groups a user is in.
//
// The meaning of every keyword follows servconf.c: the first value wins, a
// matching Match block overrides the global section, keywords that may repeat
// add up, and included files see the Match state of the line that includes
// them. Ciphers, MACs, key exchange and a few limits are accepted unread:
// nothing in the lab depends on them.
package sshdconf

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
)

// sshDir is where relative Include patterns stand.
const sshDir = "/etc/ssh"

// maxDepth bounds nested Includes, as SERVCONF_MAX_DEPTH does.
const maxDepth = 16

// Config is a configuration that sshd would start with. Only Load makes one.
type Config struct {
	lines  []line
	global values // the global section, with defaults
}

// A line is one directive, its arguments already checked and in the form in
// which sshd prints them.
type line struct {
	where    string // for errors: "sshd_config line 3"
	keyword  int    // index into keywords
	args     []string
	included [][]line // of Include
}

// values holds the arguments of each keyword, by its index; nil is unset.
type values [len(keywords)][]string

// Error is what sshd would print before it refuses to start.
type Error struct {
	Where string // "etc/ssh/sshd_config line 3"
	Text  string
}

func (e *Error) Error() string { return e.Where + ": " + e.Text }

// Load reads the configuration at name, and what it includes, from the root of
// a host. It returns every mistake of the file, joined, as sshd prints them.
func Load(root fs.FS, name string) (*Config, error) {
	r := reader{root: root}
	lines := r.file(name, 0)
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	global := pass{}
	global.walk(lines, new(true), mode{})
	if global.err != nil {
		return nil, global.err
	}
	global.listen()
	for i, k := range keywords {
		if global.values[i] == nil {
			global.values[i] = k.defaults()
		} else if k.is(clears) && len(global.values[i]) == 1 && strings.EqualFold(global.values[i][0], k.none()) {
			global.values[i] = nil
		}
	}
	if global.values[find("authorizedkeyscommand")] != nil && global.values[find("authorizedkeyscommanduser")] == nil {
		return nil, errors.New("AuthorizedKeysCommand set without AuthorizedKeysCommandUser")
	}
	return &Config{lines: lines, global: global.values}, nil
}

// Settings returns what applies to a connection. It fails where sshd would:
// on Match LocalPort when the connection has no local port.
func (c *Config) Settings(conn Connection) (Settings, error) {
	p := pass{conn: &conn}
	p.walk(c.lines, new(false), mode{matchOnly: true})
	if p.err != nil {
		return Settings{}, p.err
	}
	s := Settings{c.global}
	for i, k := range keywords {
		if k.is(inMatch) && p.values[i] != nil {
			s.values[i] = p.values[i]
		}
	}
	for i, k := range keywords {
		if k.kind == algorithms {
			s.values[i] = []string{assemble(s.first(i), k.value)}
		}
	}
	return s, nil
}

// reader turns files into lines.
type reader struct {
	root fs.FS
	errs []error
}

func (r *reader) fail(where, text string) {
	r.errs = append(r.errs, &Error{where, text})
}

func (r *reader) file(name string, depth int) []line {
	if depth > maxDepth {
		r.fail(name, "Too many recursive configuration includes")
		return nil
	}
	text, err := fs.ReadFile(r.root, name)
	if err != nil {
		r.errs = append(r.errs, err)
		return nil
	}
	var lines []line
	number := 0
	for raw := range strings.SplitSeq(string(text), "\n") {
		number++
		raw = strings.TrimRight(strings.TrimLeft(raw, " \t\r"), " \t\r\f")
		word, rest := firstWord(raw)
		if word == "" || word[0] == '#' {
			continue
		}
		where := name + " line " + strconv.Itoa(number)
		l, err := r.line(where, word, rest, depth)
		if err != nil {
			r.fail(where, err.Error())
			continue
		}
		lines = append(lines, l)
	}
	return lines
}

func (r *reader) line(where, word, rest string, depth int) (line, error) {
	i := find(word)
	if i < 0 {
		return line{}, errors.New("Bad configuration option: " + word)
	}
	if rest == "" {
		return line{}, errors.New("no argument after keyword \"" + word + "\"")
	}
	l := line{where: where, keyword: i}
	args, ok := split(rest)
	if !ok {
		return line{}, errors.New("invalid quotes")
	}
	if keywords[i].kind == include {
		if len(args) == 0 {
			return line{}, errors.New(word + " missing filename argument")
		}
		l.included = r.include(args, depth)
		return l, nil
	}
	var err error
	l.args, err = keywords[i].read(args, rest)
	if err != nil {
		return line{}, errors.New(word + " " + err.Error())
	}
	return l, nil
}

func (r *reader) include(patterns []string, depth int) [][]line {
	var files [][]line
	for _, pattern := range patterns {
		names, err := fs.Glob(r.root, strings.TrimPrefix(absolute(pattern, sshDir), "/"))
		if err != nil {
			r.errs = append(r.errs, err)
		}
		for _, name := range names {
			files = append(files, r.file(name, depth+1))
		}
	}
	return files
}

// A pass evaluates the lines once: the global section if conn is nil, the
// Match blocks otherwise.
type pass struct {
	conn   *Connection
	values values
	err    error
}

// mode is what an included file inherits from the line that includes it.
type mode struct {
	never     bool // inside an inactive block: nothing in the file can match
	matchOnly bool // in the second pass, before the first Match
}

func (p *pass) walk(lines []line, active *bool, m mode) {
	for _, l := range lines {
		k := &keywords[l.keyword]
		switch {
		case p.err != nil:
			return
		case k.kind == match:
			conn := p.conn
			if m.never {
				conn = nil
			}
			matched, err := conditions(l.args, conn)
			if err != nil {
				p.err = &Error{l.where, err.Error()}
				return
			}
			*active = matched && !m.never
			m.matchOnly = false
		case k.kind == include:
			was := *active
			inherited := mode{never: !was, matchOnly: m.matchOnly}
			if m.matchOnly {
				inherited.never = false
			}
			for _, file := range l.included {
				p.walk(file, active, inherited)
				*active = was
			}
		case !*active && !k.is(inMatch):
			if p.conn == nil {
				p.err = &Error{l.where, "Directive '" + k.name + "' is not allowed within a Match block"}
			}
		case *active:
			p.set(l.keyword, l.args)
		}
	}
}

func (p *pass) set(i int, args []string) {
	if keywords[i].is(adds) {
		p.values[i] = append(p.values[i], args...)
	} else if p.values[i] == nil {
		p.values[i] = args
	}
}

// listen joins ports and addresses once all are known, in sshd's order: each
// address with all ports, but the wildcards, being one address, by port.
func (p *pass) listen() {
	i, j := find("port"), find("listenaddress")
	if p.values[i] == nil {
		p.values[i] = []string{"22"}
	}
	var all []string
	for _, address := range p.values[j] {
		if _, _, given := hostPort(address); given {
			all = append(all, address)
			continue
		}
		for _, port := range p.values[i] {
			all = append(all, address+":"+port)
		}
	}
	if all == nil {
		family := p.first(find("addressfamily"))
		for _, port := range p.values[i] {
			if family != "inet" {
				all = append(all, "[::]:"+port)
			}
			if family != "inet6" {
				all = append(all, "0.0.0.0:"+port)
			}
		}
	}
	p.values[j] = all
}

func (p *pass) first(i int) string { return Settings{p.values}.first(i) }
