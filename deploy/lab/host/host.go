// Package host makes and runs the lab's hosts: a folder that looks like the
// parts of a Linux system which SSH keys touch (accounts, homes, sshd_config,
// host keys), an agent that runs scripts in it, and an SSH server on loopback
// that judges each login by the files as they are at that moment.
//
// Nothing here needs root, and nothing outside a host's folder is written.
// How commands reach a host is the business of package ssm of the lab, what
// sshd_config means that of package sshdconf, and what the folder says about
// accounts and owners that of package rootfs.
package host

import (
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"
)

var errSkeleton = errors.New("not written yet")

// Machine is what all hosts of one lab have from the machine they run on.
type Machine struct {
	// Tools is the path of the multi-call program, built from the package
	// in the folder tools.
	Tools string
	// Trusted are the script bodies that run as processes of the machine's
	// real shell. A script is trusted if it ends with one of them and holds
	// nothing before it but assignments to SSM_ variables. Any other script
	// runs in a shell inside this process that cannot leave the host's folder.
	Trusted []string
	// Shell is the command that runs trusted scripts, as in `sh -c TEXT`;
	// empty means /bin/sh.
	Shell []string
}

// ResourceType is the kind of managed node, in SSM's spelling.
type ResourceType string

// The kinds of managed node.
const (
	EC2Instance     ResourceType = "EC2Instance"
	ManagedInstance ResourceType = "ManagedInstance"
)

// State says whether a host runs, and whether its agent can be reached.
type State string

// The states of a host. An offline host runs, but neither its agent nor its
// SSH server can be reached; a stopped one does not run at all.
const (
	Online  State = "online"
	Offline State = "offline"
	Stopped State = "stopped"
)

// User is an account of a new host.
type User struct {
	Name   string
	UID    int      // 0: the next free one from 1000
	Shell  string   // empty: /bin/bash
	Groups []string // beside the group of its own name
	Keys   []string // lines of ~/.ssh/authorized_keys; none: no file
}

// Spec describes a new host.
type Spec struct {
	ID           string       // i-… or mi-…
	Name         string       // the Name tag or, for a hybrid node, its name
	ResourceType ResourceType // empty: by ID
	PlatformType string       // Linux (empty), MacOS or Windows
	PlatformName string       // empty: Amazon Linux
	AgentVersion string       // empty: one that interpolates ENV_VAR
	IPAddress    string
	Tags         map[string]string
	Users        []User
	// SSHDConfig is the text of sshd_config below the lines for Port and
	// ListenAddress; empty means that of a fresh system.
	SSHDConfig string
	Switches   Switches
}

// Switches change how a host behaves while it runs. They stand in host.json,
// which is read again at every use, so a person may edit them as well.
type Switches struct {
	State        State    `json:"state"`
	Latency      Duration `json:"latency"`      // before each script
	DiskFull     bool     `json:"diskFull"`     // no script can write to a file
	WrongHostKey bool     `json:"wrongHostKey"` // the SSH server presents another key
	Silent       bool     `json:"silent"`       // the SSH server accepts connections and says nothing
	Answer       Answer   `json:"answer"`       // what becomes of a script's answer
}

// Answer is what becomes of the output of a script.
type Answer string

// The ways to spoil an answer.
const (
	AnswerWhole   Answer = ""        // nothing
	AnswerGarbage Answer = "garbage" // the script does not run; bytes that mean nothing come back
	AnswerCut     Answer = "cut"     // the first half of the output is all there is
	AnswerOther   Answer = "other"   // the script runs, but believes to be on another host
)

// Duration is a time.Duration that reads as "1.5s" in JSON.
type Duration time.Duration

// Info is a host as host.json describes it.
type Info struct {
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	ComputerName    string            `json:"computerName"`
	ResourceType    ResourceType      `json:"resourceType"`
	PlatformType    string            `json:"platformType"`
	PlatformName    string            `json:"platformName"`
	PlatformVersion string            `json:"platformVersion"`
	AgentVersion    string            `json:"agentVersion"`
	IPAddress       string            `json:"ipAddress"`
	Tags            map[string]string `json:"tags"`
	Switches
}

// Script is a text for the host's shell, as the agent gets it.
type Script struct {
	Text    string
	Env     map[string]string // added to the agent's own environment
	Timeout time.Duration     // 0: none
}

// Output is what a script left.
type Output struct {
	Stdout, Stderr string
	ExitCode       int
	TimedOut       bool // killed when Script.Timeout was over
}

// Login is one attempt to log in over SSH.
type Login struct {
	Time        time.Time
	User        string
	Fingerprint string // SHA256:… of the key that was offered
	Accepted    bool
	Reason      string // why it was refused
}

// Host is one host of the lab. Its methods may be called at the same time.
type Host struct {
	folder string
}

// New makes a host in folder, which must not exist, and starts its SSH server.
func New(folder string, s Spec, m Machine) (*Host, error) { return nil, errSkeleton }

// Open starts the host that New made in folder earlier.
func Open(folder string, m Machine) (*Host, error) { return nil, errSkeleton }

// Close stops the SSH server and kills running scripts. The folder stays.
func (h *Host) Close() error { return errSkeleton }

// ID returns the host's node id.
func (h *Host) ID() string { return "" }

// Info returns what host.json says now. A file that cannot be understood
// leaves the host as it last was.
func (h *Host) Info() Info { return Info{} }

// Run runs a script as the agent does: as root of this host.
func (h *Host) Run(ctx context.Context, s Script) Output { return Output{} }

// Folder returns the host's folder.
func (h *Host) Folder() string { return h.folder }

// Path returns where a path of the host, as /etc/passwd, stands on this machine.
func (h *Host) Path(hostPath string) string { return "" }

// AuthorizedKeys returns the path on this machine of the user's
// .ssh/authorized_keys, whether or not it exists.
func (h *Host) AuthorizedKeys(user string) string { return "" }

// WriteKeys replaces the user's .ssh/authorized_keys by these lines, making
// the folder and the file as sshd wants them.
func (h *Host) WriteKeys(user string, lines ...string) error { return errSkeleton }

// Change edits the switches.
func (h *Host) Change(edit func(*Switches)) error { return errSkeleton }

// SetState changes the host's state.
func (h *Host) SetState(s State) error { return h.Change(func(w *Switches) { w.State = s }) }

// SetTag sets a tag; RemoveTag removes one.
func (h *Host) SetTag(key, value string) error { return errSkeleton }

// RemoveTag removes a tag.
func (h *Host) RemoveTag(key string) error { return errSkeleton }

// AddUser adds an account, its home and its keys.
func (h *Host) AddUser(u User) error { return errSkeleton }

// RemoveUser removes an account; its home stays, as with userdel.
func (h *Host) RemoveUser(name string) error { return errSkeleton }

// Configure replaces sshd_config below the lines for Port and ListenAddress.
func (h *Host) Configure(text string) error { return errSkeleton }

// Address returns where the SSH server listens, as 127.0.0.1:PORT.
func (h *Host) Address() string { return "" }

// HostKey returns the host's public key; under the switch WrongHostKey the
// SSH server presents another one.
func (h *Host) HostKey() ssh.PublicKey { return nil }

// Login logs in over SSH and returns nil if the server accepted the key.
func (h *Host) Login(user string, key ssh.Signer) error { return errSkeleton }

// Logins returns the latest attempts to log in, oldest first.
func (h *Host) Logins() []Login { return nil }
