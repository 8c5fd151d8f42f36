package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// processes keeps the arguments and environments of every process that this one started, and of those
// that they started, as the kernel shows them to others while they run. There is nothing to see without
// /proc, as on macOS.
type processes struct {
	mu    sync.Mutex
	known map[int]string // the folder of the lab that a process belongs to; "" is none
	texts map[string]map[string]string
	marks map[string]string // folders, by what their processes have in their environment

	watching bool
}

// running are the processes of all labs of this test.
var running = &processes{texts: map[string]map[string]string{}, marks: map[string]string{}}

// lookAgain is how often processes are looked at: a host's script, the shortest of what counts, takes
// more than one of these.
const lookAgain = 100 * time.Millisecond

// follow has the processes of a lab looked at until stop is called.
func (p *processes) follow(folder, url string) (stop func()) {
	marks := []string{folder + "/", "AWS_ENDPOINT_URL=" + url + "\x00"}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts[folder] = map[string]string{}
	for _, m := range marks {
		p.marks[m] = folder
	}
	if !p.watching {
		p.watching = true
		go p.watch()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.texts, folder)
		for _, m := range marks {
			delete(p.marks, m)
		}
	}
}

// seen returns where each text was seen in the processes of a lab up to now.
func (p *processes) seen(folder string) map[string]string {
	p.look()
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.texts[folder])
}

// watch looks as long as there is a lab to follow.
func (p *processes) watch() {
	for tick := time.NewTicker(lookAgain); ; <-tick.C {
		p.look()
		p.mu.Lock()
		p.watching = len(p.texts) > 0
		over := !p.watching
		p.mu.Unlock()
		if over {
			tick.Stop()
			return
		}
	}
}

// look takes in what can be seen now.
func (p *processes) look() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.known
	p.known = map[int]string{os.Getpid(): ""}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		lab, known := before[pid]
		if !known {
			if lab, known = p.inherited(pid, before); !known {
				continue // the next look knows its parent
			}
		}
		p.known[pid] = p.take(pid, lab)
	}
}

// foreign is the lab of processes that this one did not start.
const foreign = "foreign"

// inherited returns the lab that a process has from its parent, unless the parent is not known yet.
func (p *processes) inherited(pid int, before map[int]string) (lab string, known bool) {
	id := parent(pid)
	if id == 0 {
		return foreign, true
	}
	if lab, known = p.known[id]; !known {
		lab, known = before[id]
	}
	return lab, known
}

// take keeps what a process of this test shows, and returns the lab that it belongs to.
func (p *processes) take(pid int, lab string) string {
	if lab == foreign {
		return foreign
	}
	arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
	environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if lab == "" {
		lab = p.labOf(string(environment)) // still none between its fork and its exec
	}
	if texts := p.texts[lab]; texts != nil {
		texts[string(arguments)] = "the arguments of a process"
		texts[string(environment)] = "the environment of a process"
	}
	return lab
}

// labOf returns the lab whose folder or address an environment names.
func (p *processes) labOf(environment string) string {
	for mark, lab := range p.marks {
		if strings.Contains(environment, mark) {
			return lab
		}
	}
	return ""
}

// parent returns the id of a process's parent; 0 if there is none, or no such process.
func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	id, _ := strconv.Atoi(fields[1])
	return id
}
