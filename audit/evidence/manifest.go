package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Manifest is all records of one chain that a day closed, without anything lost: what hosts showed is there once
// for all records that saw the same, and each record can be written out again byte for byte. Like a record it is
// one line in the canonical form of RFC 8785.
type Manifest struct {
	// Before is the SHA-256 of the manifest before, in hex, and empty in the first.
	Before  string  `json:"before"`
	Day     string  `json:"day"` // 2006-01-02, in UTC
	Entries []Entry `json:"entries"`
	// Fleets are what Verification.Hosts held, each once.
	Fleets [][]Host `json:"fleets,omitempty"`
	// Previous is the SHA-256 of the record before the first of these.
	Previous string `json:"previous"`
	Schema   int    `json:"schema"`
	Secret   Secret `json:"secret,omitzero"`
}

// Entry is one record.
type Entry struct {
	// Fleet is the place of the record's hosts in Fleets, from 1; 0 for a record that has none.
	Fleet  int    `json:"fleet,omitempty"`
	Record Record `json:"record"` // without Verification.Hosts
	SHA256 string `json:"sha256"` // of the record as it was written
}

// whole is the entry's record as it was written. Records that saw the same share their hosts.
func (m Manifest) whole(e Entry) Record {
	r := e.Record
	if e.Fleet > 0 && e.Fleet <= len(m.Fleets) && r.Verification != nil {
		v := *r.Verification
		v.Hosts = m.Fleets[e.Fleet-1]
		r.Verification = &v
	}
	return r
}

// head is the last record.
func (m Manifest) head() Head {
	if len(m.Entries) == 0 {
		return Head{}
	}
	last := m.Entries[len(m.Entries)-1]
	return Head{last.Record.Sequence, last.SHA256}
}

// adder returns what adds the next record and its SHA-256.
func (m *Manifest) adder() func(Record, string) error {
	seen := map[string]int{}
	return func(r Record, sum string) error {
		e := Entry{Record: r, SHA256: sum}
		if r.Verification != nil && len(r.Verification.Hosts) > 0 {
			hosts, err := json.Marshal(r.Verification.Hosts)
			if err != nil {
				return err
			}
			if seen[Sum(hosts)] == 0 {
				m.Fleets = append(m.Fleets, r.Verification.Hosts)
				seen[Sum(hosts)] = len(m.Fleets)
			}
			e.Fleet = seen[Sum(hosts)]
			v := *r.Verification
			v.Hosts = nil
			e.Record.Verification = &v
		}
		m.Entries = append(m.Entries, e)
		return nil
	}
}

func (m Manifest) canonical() ([]byte, error) { return line(m) }

// line writes a value, whose members are in the order of their names, in the canonical form of RFC 8785.
func line(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if !bytes.Contains(body, []byte(`\u`)) {
		return body, nil
	}
	// encoding/json escapes these three where the canonical form has them as they are.
	out := make([]byte, 0, len(body))
	for len(body) > 0 {
		n := 1
		if body[0] == '\\' {
			n = 2
		}
		switch string(body[:min(6, len(body))]) {
		case `\u2028`, `\u2029`, `\ufffd`:
			var char string
			if err := json.Unmarshal(append(append([]byte{'"'}, body[:6]...), '"'), &char); err != nil {
				return nil, err
			}
			out, body = append(out, char...), body[6:]
			continue
		}
		out, body = append(out, body[:n]...), body[n:]
	}
	return out, nil
}

// DecodeManifest reads a manifest. It does not look whether the records are what their sums say: Check does.
func DecodeManifest(body []byte) (Manifest, error) {
	return known{fleets: map[string][]Host{}, hosts: map[string]Host{}}.manifest(body)
}

// known is what was read before: a fleet hardly changes, and a year of it is to be had once.
type known struct {
	fleets map[string][]Host // by their JSON
	hosts  map[string]Host
}

func (k known) manifest(body []byte) (Manifest, error) {
	var m struct {
		Manifest
		Fleets []json.RawMessage `json:"fleets"` // instead of the manifest's
	}
	err := json.Unmarshal(body, &m)
	switch {
	case err == nil && m.Schema > Schema:
		return Manifest{}, fmt.Errorf("schema %d: %w", m.Schema, ErrLater)
	case err == nil && len(m.Entries) == 0:
		err = errors.New("it has no entry")
	}
	for _, text := range m.Fleets {
		if err == nil {
			var fleet []Host
			fleet, err = k.fleet(text)
			m.Manifest.Fleets = append(m.Manifest.Fleets, fleet)
		}
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return m.Manifest, nil
}

func (k known) fleet(text json.RawMessage) ([]Host, error) {
	if fleet, ok := k.fleets[string(text)]; ok {
		return fleet, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	fleet := make([]Host, len(list))
	for i, text := range list {
		host, ok := k.hosts[string(text)]
		if !ok {
			if err := json.Unmarshal(text, &host); err != nil {
				return nil, err
			}
			k.hosts[string(text)] = host
		}
		fleet[i] = host
	}
	k.fleets[string(text)] = fleet
	return fleet, nil
}
