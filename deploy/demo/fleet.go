package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// users are the accounts that are managed on every host of the fleet.
var users = []string{"deploy", "backup"}

// The boundary: hosts with this tag may be touched, by one stack or the other.
const (
	boundaryKey   = "Keytrail"
	boundaryValue = "demo"
	shopValue     = "shop"
)

// defaultKeyFile is the one that sshd reads unless its settings say otherwise.
const defaultKeyFile = ".ssh/authorized_keys"

// member is a host of the fleet as the demo wants it.
type member struct {
	name     string
	boundary string   // the tag's value; "" means boundaryValue
	users    []string // managed accounts; nil means all
	hybrid   bool
	odd      string   // what is odd about it, for people
	keyFiles []string // that sshd reads, below the home; nil means the default
	prepare  func(h *host.Host, g guests) error

	*host.Host // once the lab runs
	hostKey    ssh.PublicKey
}

// guests are the people whose keys were on the hosts before Keytrail came.
type guests struct {
	alice   *sshkey.PrivateKey // she logs in to one host
	monitor *sshkey.PrivateKey // nobody knows whose it is
}

// Names of the members that the story speaks of.
const (
	withForeign  = "web-2"
	withNoEnd    = "web-3"
	withGarbage  = "web-4"
	withTwoFiles = "db-1"
	withLink     = "db-2"
	impostor     = "app-3"
	secondFile   = ".ssh/authorized_keys2"
	linkTarget   = "../keys/deploy.txt"
)

// newFleet returns the twelve hosts.
func newFleet() []*member {
	return []*member{
		{name: "web-1"},
		{name: withForeign, odd: "alice's own key stands with deploy's", prepare: foreignKey},
		{name: withNoEnd, odd: "backup: the last line has no end", prepare: lineWithoutEnd},
		{name: withGarbage, odd: "deploy: garbage between the lines", prepare: garbage},
		{name: "app-1", odd: "deploy: no .ssh folder yet", prepare: noFolder},
		{name: "app-2"},
		{name: impostor},
		{name: withTwoFiles, odd: "two key files for each account",
			keyFiles: []string{defaultKeyFile, secondFile}, prepare: twoFiles},
		{name: withLink, odd: "deploy: the key file is a symlink", prepare: linkedFile},
		{name: "build-1"},
		{name: "bastion"},
		{name: "edge-1", hybrid: true, odd: "no EC2 instance: a hybrid node"},
	}
}

// id returns the node id. It looks like one that AWS gave, and is the same in
// each run.
func (m *member) id() string {
	sum := sha256.Sum256([]byte(m.name))
	return m.prefix() + "0" + hex.EncodeToString(sum[:8])
}

func (m *member) prefix() string {
	if m.hybrid {
		return "mi-"
	}
	return "i-"
}

// kind is what Systems Manager calls the member, in short.
func (m *member) kind() string {
	if m.hybrid {
		return "hybrid"
	}
	return "EC2"
}

// managed are the accounts whose keys are managed.
func (m *member) managed() []string {
	if m.users == nil {
		return users
	}
	return m.users
}

// spec is what the lab makes of the member.
func (m *member) spec() host.Spec {
	s := host.Spec{
		ID:        m.id(),
		Name:      m.name,
		IPAddress: "127.0.0.1", // where the function's ssh proof finds the host
		Tags:      map[string]string{boundaryKey: cmp.Or(m.boundary, boundaryValue), "Name": m.name},
	}
	for _, u := range m.managed() {
		s.Users = append(s.Users, host.User{Name: u})
	}
	if m.keyFiles != nil {
		s.SSHDConfig = "AuthorizedKeysFile " + strings.Join(m.keyFiles, " ") + "\n"
	}
	return s
}

// furnish gives the member its host, and makes the host as odd as it is.
func (m *member) furnish(h *host.Host, g guests) error {
	m.Host = h
	keys, err := h.HostKeys()
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return errors.New("it has no host key")
	}
	m.hostKey = keys[0]
	if m.prepare == nil {
		return nil
	}
	return m.prepare(h, g)
}

// accounts returns the ways into the member.
func (m *member) accounts() []account {
	var all []account
	for _, u := range m.managed() {
		all = append(all, account{host: m.id(), name: m.name, user: u, address: m.Address(), hostKey: m.hostKey})
	}
	return all
}

// files returns the paths of a user's key files on the host, in sshd's order.
func (m *member) files(user string) []string {
	files := m.keyFiles
	if files == nil {
		files = []string{defaultKeyFile}
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, path.Join("/home", user, f))
	}
	return paths
}

// read reads all key files of the member.
func (m *member) read() ([]keyFile, error) {
	var all []keyFile
	for _, u := range m.managed() {
		for _, p := range m.files(u) {
			f, err := readKeyFile(keyFile{host: m.id(), name: m.name, user: u, path: p}, m.Path(p))
			if err != nil {
				return nil, err
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// write makes a file in a user's home, with the folders that it needs.
func write(h *host.Host, user, file, content string) error {
	target := h.Path(path.Join("/home", user, file))
	if err := os.MkdirAll(path.Dir(target), 0o700); err != nil {
		return err
	}
	return os.WriteFile(target, []byte(content), 0o600)
}

func foreignKey(h *host.Host, g guests) error {
	line := `from="127.0.0.1,10.0.0.0/8",no-agent-forwarding ` + g.alice.Public().String()
	return write(h, "deploy", defaultKeyFile, "# access to the web tier, see the wiki\n"+line+"\n")
}

func lineWithoutEnd(h *host.Host, g guests) error {
	return write(h, "backup", defaultKeyFile, g.monitor.Public().String())
}

func garbage(h *host.Host, g guests) error {
	return write(h, "deploy", defaultKeyFile, "\xff\xfe not text \x1b[2J\n"+
		"ssh-rsa AAAAB3NzaC1yc2 cut off\r\n"+
		"\t  \n"+
		g.monitor.Public().String()+"\r\n"+
		"<<<<<<< HEAD\n")
}

func noFolder(h *host.Host, _ guests) error {
	err := os.RemoveAll(path.Dir(h.AuthorizedKeys("deploy")))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func twoFiles(h *host.Host, g guests) error {
	for _, u := range users {
		if err := errors.Join(write(h, u, defaultKeyFile, ""), write(h, u, secondFile, g.monitor.Public().String()+"\n")); err != nil {
			return err
		}
	}
	return nil
}

func linkedFile(h *host.Host, g guests) error {
	keys := h.AuthorizedKeys("deploy")
	if err := write(h, "deploy", path.Join(".ssh", linkTarget), g.monitor.Public().String()+"\n"); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(path.Dir(keys), 0o700), os.RemoveAll(keys)); err != nil {
		return err
	}
	return os.Symlink(linkTarget, keys)
}

// byName returns the member of that name. There is one.
func byName(fleet []*member, name string) *member {
	i := slices.IndexFunc(fleet, func(m *member) bool { return m.name == name })
	return fleet[i]
}
