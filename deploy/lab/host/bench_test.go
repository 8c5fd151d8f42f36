package host_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

func BenchmarkNew(b *testing.B) {
	_, line := newKey(b)
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		s := host.Spec{ID: fmt.Sprintf("i-%017x", i), Users: []host.User{{Name: "alice", Keys: []string{line}}, {Name: "bob"}}}
		h, err := host.New(filepath.Join(dir, s.ID), s, machine())
		must(b, err)
		must(b, h.Close())
	}
}

func BenchmarkLogin(b *testing.B) {
	key, line := newKey(b)
	h := newHost(b, func(s *host.Spec) { s.Users[0].Keys = []string{line} })
	for b.Loop() {
		must(b, h.Login("alice", key))
	}
}

func BenchmarkRun(b *testing.B) {
	h := newHost(b, nil)
	for b.Loop() {
		h.Run(b.Context(), host.Script{Text: body, Env: map[string]string{"SSM_Do": "getent passwd alice"}})
	}
}
