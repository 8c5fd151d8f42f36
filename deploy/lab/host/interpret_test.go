package host_test

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// appendScript is how the older rotators of this kind install a key.
func appendScript(public, id string) string {
	return strings.Join([]string{
		"key_file=~ec2-user/.ssh/authorized_keys",
		fmt.Sprintf("COUNT=`grep -c \"%s\" $key_file`", id),
		"if [ $COUNT -eq 0 ]", "  then",
		fmt.Sprintf("    echo \"%s\" >> $key_file", public),
		"  else",
		`    echo "already exists"`,
		"fi",
	}, "\n")
}

// removeScript is how they take one away.
func removeScript(id string) string {
	return fmt.Sprintf("key_file=~ec2-user/.ssh/authorized_keys\nsed -i'.bak' \"/%s/d\" $key_file", id)
}

func ec2User(keys ...string) func(*host.Spec) {
	return func(s *host.Spec) { s.Users = []host.User{{Name: "ec2-user", Keys: keys}} }
}

func TestScriptsOfOtherRotatorsWork(t *testing.T) {
	t.Parallel()
	_, old := newKey(t)
	key, public := newKey(t)
	public += " v2"
	h := newHost(t, ec2User(old+" v1"))

	if out := h.Run(t.Context(), host.Script{Text: appendScript(public, "v2")}); out.ExitCode != 0 || out.Stdout != "" {
		t.Fatalf("append: %+v", out)
	}
	if got, want := readFile(t, h.AuthorizedKeys("ec2-user")), old+" v1\n"+public+"\n"; got != want {
		t.Errorf("file after the append: %q, want %q", got, want)
	}
	if err := h.Login("ec2-user", key); err != nil {
		t.Error(err)
	}
	if out := h.Run(t.Context(), host.Script{Text: appendScript(public, "v2")}); out.Stdout != "already exists\n" {
		t.Errorf("append again: %+v", out)
	}
	if out := h.Run(t.Context(), host.Script{Text: removeScript("v1")}); out.ExitCode != 0 {
		t.Fatalf("remove: %+v", out)
	}
	if got, want := readFile(t, h.AuthorizedKeys("ec2-user")), public+"\n"; got != want {
		t.Errorf("file after the removal: %q, want %q", got, want)
	}
	t.Run("in their one-line form", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, ec2User(old+" v1"))
		out := h.Run(t.Context(), host.Script{Text: `COUNT=$(grep -c "v2" ~ec2-user/.ssh/authorized_keys); if [ $COUNT -eq 0 ]; then echo "` + public +
			`" >> ~ec2-user/.ssh/authorized_keys; else echo "already exists"; fi` + "\nsed -i.bak '/v1$/d' ~ec2-user/.ssh/authorized_keys"})
		if got := readFile(t, h.AuthorizedKeys("ec2-user")); got != public+"\n" || out.ExitCode != 0 {
			t.Errorf("file %q, %+v", got, out)
		}
	})
	t.Run("and with a path instead of a tilde", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, ec2User(old+" v1"))
		out := h.Run(t.Context(), host.Script{Text: `F=/home/ec2-user/.ssh/authorized_keys; grep -q v2 "$F" || echo "` + public + `" >> "$F"; cp "$F" /tmp/copy; chmod 600 "$F"`})
		if got := readFile(t, h.Path("/tmp/copy")); got != old+" v1\n"+public+"\n" || out.ExitCode != 0 {
			t.Errorf("file %q, %+v", got, out)
		}
	})
}

// Their bugs are part of what the lab must show.
func TestScriptsOfOtherRotatorsFailAsTheyDoElsewhere(t *testing.T) {
	t.Parallel()
	_, old := newKey(t)
	key, public := newKey(t)
	t.Run("a missing file is success without a key", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, ec2User())
		out := h.Run(t.Context(), host.Script{Text: appendScript(public+" v2", "v2")})
		if out.ExitCode != 0 || out.Stdout != "already exists\n" {
			t.Errorf("%+v", out)
		}
		if _, err := os.Stat(h.AuthorizedKeys("ec2-user")); err == nil {
			t.Error("a key file was made")
		}
	})
	t.Run("a missing user is success without a key", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, nil)
		if out := h.Run(t.Context(), host.Script{Text: appendScript(public+" v2", "v2")}); out.ExitCode != 0 || out.Stdout != "already exists\n" {
			t.Errorf("%+v", out)
		}
	})
	t.Run("a file without a last newline glues the keys together", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, ec2User(old+" v1"))
		writeFile(t, h, "/home/ec2-user/.ssh/authorized_keys", old+" v1")
		if out := h.Run(t.Context(), host.Script{Text: appendScript(public+" v2", "v2")}); out.ExitCode != 0 {
			t.Errorf("%+v", out)
		}
		if got, want := readFile(t, h.AuthorizedKeys("ec2-user")), old+" v1"+public+" v2\n"; got != want {
			t.Errorf("file %q, want %q", got, want)
		}
		if err := h.Login("ec2-user", key); err == nil {
			t.Error("a key in the comment of another logged in")
		}
	})
	t.Run("a disabled line counts as the key", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, ec2User("# "+public+" v2"))
		if out := h.Run(t.Context(), host.Script{Text: appendScript(public+" v2", "v2")}); out.Stdout != "already exists\n" {
			t.Errorf("%+v", out)
		}
	})
	t.Run("a link is replaced by a copy", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, ec2User(old+" v1"))
		file := h.AuthorizedKeys("ec2-user")
		must(t, os.Rename(file, file+".real"))
		must(t, os.Symlink("authorized_keys.real", file))
		h.Run(t.Context(), host.Script{Text: removeScript("v1")})
		if got := readFile(t, file+".real"); got != old+" v1\n" {
			t.Errorf("the real file holds %q", got)
		}
	})
	t.Run("an id is code", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, ec2User(old+" v1"))
		h.Run(t.Context(), host.Script{Text: appendScript(public, "$(touch owned)v2")})
		if _, err := os.Stat(h.Path("/root/owned")); err != nil {
			t.Error(err)
		}
	})
}

func TestForeignScriptCannotLeaveItsHost(t *testing.T) {
	t.Parallel()
	me, err := user.Current()
	must(t, err)
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("SECRET\n"), 0o600))
	for _, tt := range []struct{ name, text string }{
		{"through a path of this machine", "cat OUT/secret; echo x >OUT/new; cp OUT/secret copy; read -r line <OUT/secret; echo $line"},
		{"up from its own directory", "cat ../../../../../../../../../../OUT/secret; cd /; cd ../../..; cat ..OUT/secret; echo x >../OUT/new"},
		{"through a link", "cat link/secret; echo x >link/new; cp link/secret copy; sed -i 's/S/X/' link/secret; cd link && cat secret"},
		{"through a link to a file that is missing", "echo x >dangling; echo x | tee dangling"},
		{"through an option", "grep --file=OUT/secret -r . ; cp -tOUT host; tee --append OUT/new"},
		{"through a program", "sed 'w OUT/new' host; sed -e 'r OUT/secret' host; sed '1e cat OUT/secret' host; sed 'rOUT/secret' host"},
		{"through a command that runs others", "env cat OUT/secret; sh -c 'cat OUT/secret'; awk 'BEGIN { system(\"cat OUT/secret\") }'; find / -exec cat OUT/secret ';'; xargs cat <<<OUT/secret; /bin/cat OUT/secret; command cat OUT/secret; exec cat OUT/secret"},
		{"through a file that is run", "echo 'cat OUT/secret' >x; chmod 755 x; ./x; . ./x; source OUT/secret"},
		{"through a glob", "echo OUT/*; for f in OUT/s*; do cat $f; done; [ -f OUT/secret ] && echo SECRET"},
		{"through a process", "cat <(cat OUT/secret)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			writeFile(t, h, "/root/host", "of the host\n")
			must(t, os.Symlink(outside, h.Path("/root/link")))
			must(t, os.Symlink(filepath.Join(outside, "new"), h.Path("/root/dangling")))
			for command := range strings.SplitSeq(strings.ReplaceAll(tt.text, "OUT", outside), "; ") {
				out := h.Run(t.Context(), host.Script{Text: command})
				if strings.Contains(out.Stdout, "SECRET") {
					t.Errorf("%s read what is outside: %+v", command, out)
				}
			}
			if copied, err := os.ReadFile(h.Path("/root/copy")); err == nil && strings.Contains(string(copied), "SECRET") {
				t.Error("a file from outside was copied")
			}
		})
	}
	t.Cleanup(func() {
		entries, err := os.ReadDir(outside)
		if err != nil || len(entries) != 1 {
			t.Errorf("something was written outside: %v, %v", entries, err)
		}
		if got := readFile(t, filepath.Join(outside, "secret")); got != "SECRET\n" {
			t.Errorf("the file outside holds %q", got)
		}
	})
	t.Run("through a tilde", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, nil)
		out := h.Run(t.Context(), host.Script{Text: "echo ~ ~alice ~" + me.Username + "x ~daemon"})
		if want := h.Path("/root") + " " + h.Path("/home/alice") + " ~" + me.Username + "x ~daemon\n"; out.Stdout != want {
			t.Errorf("homes %q, want %q", out.Stdout, want)
		}
	})
}

func TestForeignScriptOrdinaryWork(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       string
		status     int
	}{
		{"its names", "hostname; whoami; id -u alice; echo $AWS_SSM_INSTANCE_ID", "web-1\nroot\n1000\ni-0123456789abcdef0\n", 0},
		{"its files", "mkdir -p /home/alice/.ssh && chmod 700 /home/alice/.ssh && touch /home/alice/.ssh/authorized_keys && chown alice:alice /home/alice/.ssh; ls /home/alice/.ssh", "authorized_keys\n", 0},
		{"a here-document", "cat <<EOF >/tmp/x\na\nb\nEOF\nwc -l </tmp/x | tr -d ' '", "2\n", 0},
		{"a loop over users", "for u in alice bob; do [ -d /home/$u ] && echo $u; done", "alice\nbob\n", 0},
		{"its status", "exit 3", "", 3},
		{"a command that is missing", "nonesuch", "", 127},
		{"a mistake of grammar", "if", "", 2},
		{"nothing on its input", "cat; echo done", "done\n", 0},
		{"throwing away", "echo a >/dev/null 2>&1; echo b", "b\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := newHost(t, nil).Run(t.Context(), host.Script{Text: tt.text})
			if out.Stdout != tt.want || out.ExitCode != tt.status {
				t.Errorf("%+v, want %q, status %d", out, tt.want, tt.status)
			}
		})
	}
}
