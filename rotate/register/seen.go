package register

import (
	"bytes"
	"sync"
)

// seen remembers facts by key and tag. A fact never changes, so a warm function reads only those that it
// neither wrote nor read before; an object that was changed has another tag. Make it with newSeen.
type seen struct {
	mu    sync.Mutex
	facts map[listed]remembered
	// tags are those of the bundles as they were last read or written, "" of one that was not there.
	tags map[string]string
}

type remembered struct {
	Fact
	bundled bool // it stands in its secret's bundle
}

func newSeen() *seen { return &seen{facts: map[listed]remembered{}, tags: map[string]string{}} }

func (s *seen) recall(o listed) (Fact, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.facts[o]
	return f.Fact, ok
}

// put remembers a fact, and that it stands in a bundle where it was found in one.
func (s *seen) put(o listed, f Fact, bundled bool) {
	// A fact takes about a kilobyte, so all of them stay well below the function's memory.
	const most = 8192
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.facts[o]
	if o.tag != "" && (ok || len(s.facts) < most) {
		s.facts[o] = remembered{f, bundled || old.bundled}
	}
}

// bundle returns the lines of a history's facts that a reader can hold against a list, and their keys by tag;
// fresh is how many of them stand in no bundle yet.
func (s *seen) bundle(h History) (body []byte, held map[string]string, fresh int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	held = map[string]string{}
	for _, f := range h.Facts {
		text := encode(f)
		o := listed{keyOf(f), tagOf(text)}
		known, ok := s.facts[o]
		if !ok || b.Len()+len(text) > maxBundle {
			continue
		}
		b.Write(text)
		held[o.tag] = o.key
		if !known.bundled {
			fresh++
		}
	}
	return b.Bytes(), held, fresh
}

// bundled remembers that facts, keys by tag, stand in their bundle now.
func (s *seen) bundled(held map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tag, key := range held {
		f := s.facts[listed{key, tag}]
		f.bundled = true
		s.facts[listed{key, tag}] = f
	}
}

// tag returns that of a bundle, and whether it is known.
func (s *seen) tag(bundle string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tag, ok := s.tags[bundle]
	return tag, ok
}

// opened remembers a bundle's tag, closed forgets it.
func (s *seen) opened(bundle, tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tags[bundle] = tag
}

func (s *seen) closed(bundle string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tags, bundle)
}
