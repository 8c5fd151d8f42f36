// Package host makes and runs the lab's hosts. A host is a folder that looks
// like the parts of a Linux system which SSH keys touch: accounts, homes,
// sshd_config, host keys. It has an agent that runs scripts in the folder, and
// an SSH server on loopback that judges each login by the files as they are at
// that moment.
//
// Nothing here needs root, and nothing outside a host's folder is written.
// How commands reach a host is the business of package ssm of the lab; what
// sshd_config means that of package sshdconf; what the folder says about
// accounts and owners that of package rootfs; and the commands that a host
// answers from its own files are in the folder tools.
//
// What a host does not model: who made a file (it belongs to whom its place
// does, until chown says otherwise), rights between its users inside a script,
// SELinux, AuthorizedKeysCommand, which finds no key here, and absolute symbolic
// links, which would leave the folder. It is as strict as upstream OpenSSH: the
// exception of Debian's StrictModes for private groups is not made.
package host

import (
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// Machine is what all hosts of one lab have from the machine they run on.
type Machine struct {
	// Tools is the path of the multi-call program; Build makes it.
	Tools string
	// Trusted are the script bodies that run as processes of the machine's
	// real shell. A script is trusted if it ends with one of them and holds
	// nothing before it but assignments to SSM_ variables. Any other script
	// runs in a shell inside this process that cannot leave the host's folder.
	Trusted []string
	// Shell is the command that runs trusted scripts, as in `sh -c TEXT`;
	// empty means /bin/sh.
	Shell []string
	// Now is the clock that keys and accounts expire by; nil means time.Now.
	Now func() time.Time
}

// Host is one host of the lab. Its methods may be called at the same time.
type Host struct {
	root    rootfs.Root
	machine Machine

	closed chan struct{}
	once   sync.Once
	work   sync.WaitGroup // scripts and connections

	mu       sync.Mutex
	last     Info // as host.json said when it was last understood
	listener net.Listener
	conns    map[net.Conn]bool
	logins   []Login
	wrongKey ssh.Signer
	scripts  map[int]bool // process groups of the scripts that run in the real shell
}

// Open starts the host that New made in folder earlier. Where another program
// took its port meanwhile, it gets a new one.
func Open(folder string, m Machine) (*Host, error) {
	root, err := canonical(folder)
	if err != nil {
		return nil, err
	}
	if len(m.Shell) == 0 {
		m.Shell = []string{"/bin/sh"}
	}
	if m.Now == nil {
		m.Now = time.Now
	}
	h := &Host{root: root, machine: m, closed: make(chan struct{}), conns: map[net.Conn]bool{}, scripts: map[int]bool{}}
	if h.last, err = readInfo(root); err != nil {
		return nil, err
	}
	if err := h.listen(); err != nil {
		return nil, err
	}
	return h, nil
}

// Close stops the SSH server, kills running scripts and waits for both. The
// folder stays.
func (h *Host) Close() error {
	var err error
	h.once.Do(func() {
		close(h.closed)
		h.mu.Lock()
		err = h.listener.Close()
		for c := range h.conns {
			c.Close()
		}
		h.mu.Unlock()
	})
	h.work.Wait()
	return err
}

// ID returns the host's node id.
func (h *Host) ID() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last.ID
}

// Folder returns the host's folder, without symbolic links.
func (h *Host) Folder() string { return string(h.root) }

// Path returns where a path of the host, as /etc/passwd, stands on this machine.
func (h *Host) Path(hostPath string) string { return h.root.Path(hostPath) }
