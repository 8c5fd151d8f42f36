package host

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// infoFile is read again at every use, so that a person may edit it.
const infoFile = "/host.json"

// ResourceType is the kind of managed node, in SSM's spelling.
type ResourceType string

// The kinds of managed node.
const (
	EC2Instance     ResourceType = "EC2Instance"
	ManagedInstance ResourceType = "ManagedInstance"
)

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

// Switches change how a host behaves while it runs.
type Switches struct {
	State        State    `json:"state"`
	Latency      Duration `json:"latency"`      // before each script
	DiskFull     bool     `json:"diskFull"`     // no script can write to a file
	WrongHostKey bool     `json:"wrongHostKey"` // the SSH server presents another key
	Silent       bool     `json:"silent"`       // the SSH server takes connections and says nothing
	Answer       Answer   `json:"answer"`       // what becomes of a script's answer
}

// State says whether a host runs, and whether it can be reached.
type State string

// The states of a host. An offline host runs, but neither its agent nor its
// SSH server can be reached; a stopped one does not run at all.
const (
	Online  State = "online"
	Offline State = "offline"
	Stopped State = "stopped"
)

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

// MarshalText writes the duration as time.ParseDuration reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

func (s Switches) check() error {
	switch s.State {
	case Online, Offline, Stopped:
	default:
		return fmt.Errorf("state %q is none of online, offline, stopped", s.State)
	}
	switch s.Answer {
	case AnswerWhole, AnswerGarbage, AnswerCut, AnswerOther:
	default:
		return fmt.Errorf("answer %q is none of garbage, cut, other or empty", s.Answer)
	}
	return nil
}

func readInfo(root rootfs.Root) (Info, error) {
	var i Info
	text, err := os.ReadFile(root.Path(infoFile))
	if err != nil {
		return Info{}, err
	}
	if err := json.Unmarshal(text, &i); err != nil {
		return Info{}, fmt.Errorf("read %s: %w", root.Path(infoFile), err)
	}
	if err := i.Switches.check(); err != nil {
		return Info{}, fmt.Errorf("read %s: %w", root.Path(infoFile), err)
	}
	return i, nil
}

func (i Info) write(root rootfs.Root) error {
	text, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	return replace(root.Path(infoFile), append(text, '\n'), 0o644)
}

// Info returns what host.json says now. A file that cannot be understood
// leaves the host as it last was.
func (h *Host) Info() Info {
	i, err := readInfo(h.root)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.last = i
	}
	return h.last
}

// update edits host.json.
func (h *Host) update(edit func(*Info)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, err := readInfo(h.root)
	if err != nil {
		return err
	}
	edit(&i)
	if err := i.Switches.check(); err != nil {
		return err
	}
	if err := i.write(h.root); err != nil {
		return err
	}
	h.last = i
	return nil
}

// Change edits the switches.
func (h *Host) Change(edit func(*Switches)) error {
	return h.update(func(i *Info) { edit(&i.Switches) })
}

// SetState changes the host's state.
func (h *Host) SetState(s State) error {
	return h.Change(func(w *Switches) { w.State = s })
}

// SetTag sets a tag of the host.
func (h *Host) SetTag(key, value string) error {
	return h.update(func(i *Info) {
		if i.Tags == nil {
			i.Tags = map[string]string{}
		}
		i.Tags[key] = value
	})
}

// RemoveTag removes a tag of the host.
func (h *Host) RemoveTag(key string) error {
	return h.update(func(i *Info) { delete(i.Tags, key) })
}
