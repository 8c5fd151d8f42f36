package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// TestTheScriptIsTheSameUnderEveryShell gives one host after the other the same files and the same
// orders, under another shell each: answers and bytes must not differ.
func TestTheScriptIsTheSameUnderEveryShell(t *testing.T) {
	t.Parallel()
	live, retired, foreign := newKey(t, "live"), newKey(t, "retired"), newKey(t, "somebody")
	wanted, err := sshkey.ParsePublic(live.line)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := sshkey.ParsePublic(retired.line)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"empty":     "",
		"foreign":   "# a comment\n" + foreign.line + "\n",
		"options":   `from="10.0.0.0/8",command="echo \"a b\"" ` + live.line + "\n" + `restrict ` + retired.line + "\n",
		"crlf":      strings.ReplaceAll(foreign.line+"\n"+retired.line+"\n", "\n", "\r\n"),
		"noend":     retired.line + "\n" + foreign.line,
		"garbage":   "\x01\xff not a key\nssh-ed25519 AAAA\n" + retired.line + " again\n\n",
		"twice":     live.line + "\n" + retired.line + "\n" + live.line + "\n",
		"nul":       retired.line + "\n\x00\n",
		"authority": "cert-authority " + retired.line + "\n",
	}
	type result struct {
		Files   map[string]string
		Answers []fleet.Answer
	}
	var first result
	var firstShell string
	for _, shell := range [][]string{{"dash"}, {"bash"}, {"busybox", "sh"}} {
		name := strings.Join(shell, " ")
		if _, err := exec.LookPath(shell[0]); err != nil {
			if os.Getenv("CI") != "" {
				t.Errorf("%s is not installed", name)
			}
			continue
		}
		spec := node(1)
		spec.Users = nil
		var users []string
		for user := range files {
			users = append(users, user)
			spec.Users = append(spec.Users, host.User{Name: user})
		}
		h, err := host.New(filepath.Join(t.TempDir(), spec.ID), spec, host.Machine{Tools: toolsProgram, Trusted: []string{fleet.Script()}, Shell: shell})
		if err != nil {
			t.Fatal(err)
		}
		for user, content := range files {
			if err := h.WriteKeys(user, content); err != nil {
				t.Fatal(err)
			}
		}
		got := result{Files: map[string]string{}}
		for n, action := range []fleet.Action{fleet.Inspect, fleet.Apply, fleet.Inspect} {
			order := fleet.Order{
				Action: action, Nonce: "ABCDEFGHIJKLMNOP", Scope: fleet.Scope("arn:s"), Users: slices.Sorted(slices.Values(users)),
				Install: []sshkey.PublicKey{wanted}, Retire: []sshkey.Fingerprint{gone.Fingerprint()},
				Generation: int64(n + 1), Expires: time.Now().Add(time.Hour),
			}
			lines, err := order.Commands()
			if err != nil {
				t.Fatal(err)
			}
			out := h.Run(t.Context(), host.Script{Text: strings.Join(lines, "\n"), Timeout: time.Minute})
			answer, err := fleet.Decode(out.Stdout, order, h.ID())
			if err != nil {
				t.Fatalf("%s, %s: %v\n%s%s", name, action, err, out.Stdout, out.Stderr)
			}
			answer.Listen, answer.HostKeys = nil, nil // each host's own
			for _, u := range answer.Users {
				for i := range u.Keys {
					u.Keys[i].Path = strings.TrimPrefix(u.Keys[i].Path, h.Folder())
				}
			}
			got.Answers = append(got.Answers, answer)
		}
		for user := range files {
			got.Files[user] = keyFile(t, h, user)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if firstShell == "" {
			first, firstShell = got, name
			if strings.Contains(got.Files["twice"], retired.blob()) || !strings.Contains(got.Files["foreign"], live.blob()) {
				t.Errorf("%s did not do what was ordered: %q", name, got.Files)
			}
		} else if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("%s and %s differ (-%[1]s +%[2]s):\n%s", firstShell, name, diff)
		}
	}
}
