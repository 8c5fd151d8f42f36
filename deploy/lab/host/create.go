package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// Spec describes a new host. What is empty gets the value of an EC2 instance
// with Amazon Linux.
type Spec struct {
	ID              string       // i-… or mi-…
	Name            string       // the Name tag or, for a hybrid node, its name
	ComputerName    string       // what hostname says
	ResourceType    ResourceType // by ID
	PlatformType    string       // Linux, MacOS or Windows
	PlatformName    string
	PlatformVersion string
	AgentVersion    string // one that interpolates ENV_VAR
	IPAddress       string
	Tags            map[string]string
	Users           []User
	// SSHDConfig is the text of sshd_config below the lines for Port and
	// ListenAddress.
	SSHDConfig string
	// HostKeys are the types of the host keys, ed25519 and ecdsa; none means
	// ed25519 alone.
	HostKeys []string
	Switches Switches // no state means online
}

// freshConfig is sshd_config of a fresh system, but for what it listens on.
const freshConfig = `Include /etc/ssh/sshd_config.d/*.conf
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM yes
Subsystem sftp /usr/libexec/openssh/sftp-server
`

// machineTools are the commands of a host that the machine itself answers: the
// short list of the host script. Those marked optional may be absent.
var machineTools = []struct {
	name     string
	optional bool
}{
	{"awk", false}, {"cat", false}, {"chmod", false}, {"cksum", false}, {"cp", false},
	{"date", false}, {"dd", false}, {"env", false}, {"head", false}, {"ln", false},
	{"mkdir", false}, {"mv", false}, {"readlink", false}, {"rm", false}, {"rmdir", false},
	{"sed", false}, {"sh", false}, {"sleep", false}, {"tail", false}, {"timeout", true},
	{"tr", false}, {"wc", false},
}

// labTools are the commands of a host that Machine.Tools answers.
var labTools = []string{"chown", "flock", "getent", "id", "ls", "runuser", "ssh-keygen", "sshd"}

// machinePath is where the machine's own tools are looked for.
var machinePath = []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin"}

// Build builds the program for Machine.Tools from the module in the current
// directory.
func Build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/keytrail/keytrail/deploy/lab/host/tools")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the tools of the lab's hosts: %w\n%s", err, out)
	}
	return nil
}

// New makes a host in folder, which must not exist, and opens it. A host that
// could not be made whole leaves nothing behind.
func New(folder string, s Spec, m Machine) (*Host, error) {
	s.complete()
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	root, err := canonical(folder)
	if err == nil {
		err = create(root, s, m)
	}
	var h *Host
	if err == nil {
		h, err = Open(folder, m)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make host %s: %w", s.ID, err), os.RemoveAll(folder))
	}
	return h, nil
}

// complete fills in what an EC2 instance with Amazon Linux would be.
func (s *Spec) complete() {
	set := func(v *string, byDefault string) {
		if *v == "" {
			*v = byDefault
		}
	}
	if s.ResourceType == "" {
		s.ResourceType = EC2Instance
		if strings.HasPrefix(s.ID, "mi-") {
			s.ResourceType = ManagedInstance
		}
	}
	set(&s.PlatformType, "Linux")
	set(&s.PlatformName, "Amazon Linux")
	set(&s.PlatformVersion, "2023")
	set(&s.AgentVersion, "3.3.2746.0")
	set(&s.IPAddress, "127.0.0.1")
	set(&s.ComputerName, s.Name)
	set(&s.ComputerName, s.ID)
	set(&s.SSHDConfig, freshConfig)
	set((*string)(&s.Switches.State), string(Online))
	if len(s.HostKeys) == 0 {
		s.HostKeys = []string{"ed25519"}
	}
	if s.Tags == nil {
		s.Tags = map[string]string{}
	}
}

func create(root rootfs.Root, s Spec, m Machine) error {
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{
		{"/bin", 0o755}, {"/etc/ssh/sshd_config.d", 0o755}, {"/home", 0o755},
		{"/root", 0o700}, {"/tmp", 0o755},
	} {
		if err := makeDir(root, dir.path, dir.mode); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{passwdFile, "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n", 0o644},
		{groupFile, "root:x:0:\nwheel:x:10:\nnobody:x:65534:\n", 0o644},
		{shadowFile, "root:*:20000:0:99999:7:::\nnobody:*:20000:0:99999:7:::\n", 0o600},
		{configFile, listenLines(0) + s.SSHDConfig, 0o600},
	} {
		if err := os.WriteFile(root.Path(f.path), []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	if err := linkTools(root, m.Tools); err != nil {
		return err
	}
	for _, shell := range []string{"/bin/bash", "/sbin/nologin", "/usr/sbin/nologin", "/bin/false"} {
		if err := makeShell(root, shell); err != nil {
			return err
		}
	}
	for _, kind := range s.HostKeys {
		if err := makeHostKey(root, kind, s.ComputerName); err != nil {
			return err
		}
	}
	for _, u := range s.Users {
		if err := addUser(root, u); err != nil {
			return err
		}
	}
	return Info{
		ID: s.ID, Name: s.Name, ComputerName: s.ComputerName, ResourceType: s.ResourceType,
		PlatformType: s.PlatformType, PlatformName: s.PlatformName, PlatformVersion: s.PlatformVersion,
		AgentVersion: s.AgentVersion, IPAddress: s.IPAddress, Tags: s.Tags, Switches: s.Switches,
	}.write(root)
}

// linkTools fills the host's bin, which is all that a script finds on its PATH.
func linkTools(root rootfs.Root, program string) error {
	for _, name := range labTools {
		if err := os.Symlink(program, root.Path("/bin/"+name)); err != nil {
			return err
		}
	}
	for _, tool := range machineTools {
		path := onMachine(tool.name)
		if path == "" && tool.optional {
			continue
		}
		if path == "" {
			return fmt.Errorf("no %s in %s", tool.name, strings.Join(machinePath, ":"))
		}
		if err := os.Symlink(path, root.Path("/bin/"+tool.name)); err != nil {
			return err
		}
	}
	return nil
}

// onMachine returns the path of one of the machine's own tools, or "".
func onMachine(name string) string {
	for _, dir := range machinePath {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// makeHostKey writes a host key and its public half, as ssh-keygen -A does.
func makeHostKey(root rootfs.Root, kind, computer string) error {
	var key any
	var err error
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		err = fmt.Errorf("host key type %q is neither ed25519 nor ecdsa", kind)
	}
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "root@"+computer)
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return err
	}
	name := root.Path("/etc/ssh/ssh_host_" + kind + "_key")
	if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	public := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(signer.PublicKey())), "\n")
	return os.WriteFile(name+".pub", []byte(public+" root@"+computer+"\n"), 0o644)
}

// configFile is the host's sshd_config. Its first lines say what the lab's
// SSH server listens on.
const configFile = "/etc/ssh/sshd_config"

func listenLines(port int) string {
	return "Port " + strconv.Itoa(port) + "\nListenAddress 127.0.0.1\n"
}

// Configure replaces sshd_config below the lines for Port and ListenAddress.
func (h *Host) Configure(text string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return configure(h.root, h.listener.Addr(), text)
}

func configure(root rootfs.Root, addr net.Addr, text string) error {
	return replace(root.Path(configFile), []byte(listenLines(addr.(*net.TCPAddr).Port)+text), 0o600)
}

// listen takes the port that sshd_config names first, or another one if that
// cannot be had, and serves it.
func (h *Host) listen() error {
	text, err := os.ReadFile(h.root.Path(configFile))
	if err != nil {
		return err
	}
	port := 0
	first, rest, _ := strings.Cut(string(text), "\n")
	if n, ok := strings.CutPrefix(first, "Port "); ok {
		port, err = strconv.Atoi(n)
		_, rest, _ = strings.Cut(rest, "\n")
	}
	if err != nil || rest == "" && port == 0 {
		return fmt.Errorf("%s does not begin with the lines Port and ListenAddress", h.root.Path(configFile))
	}
	h.listener, err = net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil && port != 0 {
		h.listener, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	if err != nil {
		return err
	}
	if got := h.listener.Addr().(*net.TCPAddr).Port; got != port {
		if err := configure(h.root, h.listener.Addr(), rest); err != nil {
			h.listener.Close()
			return err
		}
	}
	h.work.Go(h.serve)
	return nil
}
