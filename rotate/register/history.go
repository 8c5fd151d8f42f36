package register

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
)

// History is all that the register says of one secret.
type History struct {
	Secret string // ARN
	Facts  []Fact // by time
}

// histories sorts facts by secret and time.
func histories(facts []Fact) []History {
	bySecret := map[string][]Fact{}
	for _, f := range facts {
		bySecret[f.Secret] = append(bySecret[f.Secret], f)
	}
	var all []History
	for _, arn := range slices.Sorted(maps.Keys(bySecret)) {
		own := bySecret[arn]
		slices.SortFunc(own, byTime)
		all = append(all, History{arn, own})
	}
	return all
}

func byTime(a, b Fact) int {
	if c := a.At.Compare(b.At); c != 0 {
		return c
	}
	return strings.Compare(keyOf(a), keyOf(b))
}

// Trust returns what trust.Decide needs of the history. The caller adds what Secrets Manager says.
func (h History) Trust() trust.Secret {
	s := trust.Secret{ARN: h.Secret}
	for _, version := range h.versions() {
		s.Records = append(s.Records, h.record(version))
	}
	for _, f := range h.Facts {
		if f.Kind == Revoked {
			s.Revoked = append(s.Revoked, f.Fingerprint)
		}
	}
	return s
}

// record folds the facts of one version.
func (h History) record(version string) trust.Record {
	r := trust.Record{Version: version, Found: !h.Has(Created, version)}
	for _, f := range h.Facts {
		if f.Version != version {
			continue
		}
		switch f.Kind {
		case Created, Found:
			if f.Kind == Created {
				r.Created = f.At
			}
			for _, k := range f.Keys {
				r.Keys = append(r.Keys, k.Fingerprint())
			}
		case Installed:
			r.Hosts = sorted(append(r.Hosts, f.Hosts...))
		case Promoted:
			r.Promoted = later(r.Promoted, f.At)
		case Retired:
			r.Retired = later(r.Retired, f.At)
		case Abandoned:
			r.Abandoned = later(r.Abandoned, f.At)
		case Resumed:
			r.Resumed = later(r.Resumed, f.At)
		}
	}
	return r
}

// Place is one user on one host.
type Place struct{ Host, User string }

// Traces returns where the keys of a version may still be: installed there, and not recorded as
// retired since. They come by host and user, hosts that left the fleet included.
func (h History) Traces(version string) []Place {
	installed, retired := map[Place]time.Time{}, map[Place]time.Time{}
	for _, f := range h.Facts {
		switch {
		case f.Version != version:
		case f.Kind == Installed:
			f.mark(installed)
		case f.Kind == Retired:
			f.mark(retired)
		}
	}
	var traces []Place
	for p, at := range installed {
		// Of the same millisecond it is not known which came first.
		if !retired[p].After(at) {
			traces = append(traces, p)
		}
	}
	slices.SortFunc(traces, func(a, b Place) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.User, b.User))
	})
	return traces
}

// mark notes the time of a fact at each of its places.
func (f Fact) mark(at map[Place]time.Time) {
	for _, host := range f.Hosts {
		for _, user := range f.Users {
			p := Place{host, user}
			at[p] = later(at[p], f.At)
		}
	}
}

// PublicKey returns the public key with a fingerprint, where the history has one.
func (h History) PublicKey(fp sshkey.Fingerprint) (sshkey.PublicKey, bool) {
	for _, f := range h.Facts {
		for _, k := range f.Keys {
			if k.Fingerprint() == fp {
				return k, true
			}
		}
	}
	return sshkey.PublicKey{}, false
}

// Has reports whether the history has a fact of this kind about a version.
func (h History) Has(kind Kind, version string) bool {
	return slices.ContainsFunc(h.Facts, func(f Fact) bool { return f.Kind == kind && f.Version == version })
}

// Ended reports whether a version's rotation is recorded to have ended, well or not, and not to have
// gone on since.
func (h History) Ended(version string) bool { return h.record(version).Ended() }

// shares reports whether two histories have a key in common.
func (h History) shares(other History) bool {
	own := h.fingerprints()
	return slices.ContainsFunc(other.fingerprints(), func(fp sshkey.Fingerprint) bool { return slices.Contains(own, fp) })
}

// fingerprints returns those of all keys in the history.
func (h History) fingerprints() []sshkey.Fingerprint {
	var fps []sshkey.Fingerprint
	for _, f := range h.Facts {
		for _, k := range f.Keys {
			fps = append(fps, k.Fingerprint())
		}
	}
	return fps
}

// versions returns the ids of all versions that facts tell of.
func (h History) versions() []string {
	ids := map[string]bool{}
	for _, f := range h.Facts {
		if f.Version != "" {
			ids[f.Version] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
