package main

import (
	"encoding/json"
	"strings"
	"time"
)

// entry is a line of the function's log, as the demo reads it.
type entry struct {
	Time        time.Time      `json:"timestamp"`
	Level       string         `json:"level"`
	Message     string         `json:"message"`
	Step        string         `json:"step"`
	Version     string         `json:"version"`
	Seconds     float64        `json:"seconds"`
	Fingerprint string         `json:"fingerprint"`
	Hosts       int            `json:"hosts"`
	States      map[string]int `json:"states"`
	Note        string         `json:"note"`
	Error       string         `json:"error"`
	// Of a line about one host.
	InstanceID string `json:"instanceId"`
	User       string `json:"user"`
	State      string `json:"state"`
	Reason     string `json:"reason"`
}

// The messages of the rotate function.
const (
	stepDone   = "rotation step done"
	stepFailed = "rotation step failed"
	hostNotOK  = "host not ok"
)

// parseLog returns the entries about one version from a moment on, in order.
// Lines of Lambda's own, and one that is not complete yet, are passed over.
func parseLog(text, version string, since time.Time) []entry {
	var entries []entry
	for line := range strings.Lines(text) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil && e.Version == version && !e.Time.Before(since) {
			entries = append(entries, e)
		}
	}
	return entries
}

// accounts returns how many accounts of the pass were ok, out of how many.
func (e entry) accounts() (ok, all int) {
	for _, n := range e.States {
		all += n
	}
	return e.States["ok"], all
}
