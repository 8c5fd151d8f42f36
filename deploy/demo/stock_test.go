package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

func TestTheFinalTableFitsTheScreen(t *testing.T) {
	t.Parallel()
	members := newFleet()
	var rows []row
	for _, m := range members {
		for _, u := range users {
			rows = append(rows, row{
				account: account{host: m.id(), name: m.name, user: u}, state: "ok",
				files:   []string{"authorized_keys", "authorized_keys2"},
				trusted: []string{"SHA256:abcdefghijkl"}, foreign: 1, live: accepted, old: refused,
			})
		}
	}
	for _, columns := range []int{usual, wide} {
		s, b := paper(columns)
		s.show(tableOf(members, rows, columns >= wide))
		for l := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > columns {
				t.Errorf("%d columns of %d: %s", n, columns, l)
			}
		}
	}
}

func TestAPrivateKeyIsFoundWhereverItStands(t *testing.T) {
	t.Parallel()
	l, err := lab.Start(t.Context(), lab.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	key, err := sshkey.Generate("ed25519", "openssh", "keytrail:fleet/ssh:00000000-0000-4000-8000-000000000000")
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{lab: l}
	put := func(name, text string) {
		path := filepath.Join(l.Dir(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		got, err := d.findPrivateKeys([]*sshkey.PrivateKey{key})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	put("hosts/i-1/home/deploy/.ssh/authorized_keys", key.Public().String())
	expect("not even the secret store has them, so the search found nothing")
	put("secrets/one", string(key.PEM()))
	expect()
	lines := strings.Split(string(key.PEM()), "\n")
	put("logs/f/x.log", "oops: "+lines[4])
	expect("logs/f/x.log holds a part of a private key")
}
