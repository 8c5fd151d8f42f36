package fleet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// TestMain lets the test's own program stand in for flock, which macOS lacks.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "flock" {
		if len(os.Args) != 3 || os.Args[1] != "-n" {
			os.Exit(1)
		}
		fd, err := strconv.Atoi(os.Args[2])
		if err != nil || syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// realTools are the declared commands that need no other host to be real.
var realTools = strings.Fields("awk chmod cksum cp date dd env head ln mkdir mv rm sleep ssh-keygen tail tr")

// standIns play what only root on a host of its own has: accounts, sshd's settings, another user's
// rights. ls says that alice and bob own their homes and root all above them.
var standIns = map[string]string{
	"getent": `
db=$1
shift
[ $# -gt 0 ] || while read -r line; do echo "$line"; done <"$d/etc/$db"
for key do
    while IFS=: read -r name password id rest; do
        case $key in "$name" | "$id") echo "$name:$password:$id:$rest" ;; esac
    done <"$d/etc/$db"
done`,
	"id":   `cat "$d/etc/groups"`,
	"sshd": `[ ! -e "$d/etc/no$1" ] && [ "$2" = -C ] && cat "$d/etc/settings"`,
	"runuser": `
[ "$1 $3" = "-u --" ] || exit 1
shift 3
exec "$@"`,
	"ls": `
[ "$1" = -ldn ] || exit 1
"$ls" "$@" 2>/dev/null | while read -r mode links owner group size month day time name rest; do
    owner=0
    case $name$mode in "$d/home/alice"*) owner=1001 ;; "$d/home/bob"*) owner=1002 ;; *d?????????) mode=drwxr-xr-x ;; *) mode=drwxr-xr-x ;; esac
    echo "$mode $links $owner $owner $size $month $day $time $name${rest:+ $rest}"
done`,
}

// A scratchHost runs the script as a process of one shell, with nothing in its PATH but what the
// script declares. Its files are real.
type scratchHost struct {
	t   *testing.T
	dir string
}

const aliceKeys = "home/alice/.ssh/authorized_keys"

// inEveryShell runs a test on a host of its own for each shell of this machine.
func inEveryShell(t *testing.T, test func(t *testing.T, h *scratchHost)) {
	t.Helper()
	t.Parallel()
	var found []string
	for _, name := range []string{"sh", "dash", "bash", "busybox"} {
		shell, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(shell); err != nil || slices.Contains(found, real) || testing.Short() && len(found) > 0 {
			continue // sh is mostly one of the others, and a short run wants one
		} else {
			found = append(found, real)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newScratchHost(t, shell))
		})
	}
	if len(found) == 0 {
		t.Fatal("this machine has no shell")
	}
}

func newScratchHost(t *testing.T, shell string) *scratchHost {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := &scratchHost{t, dir}
	for _, d := range []string{"bin", "etc", "root", "home/alice"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	flock, err := exec.LookPath("flock")
	if err != nil {
		if flock, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"sh": shell, "flock": flock} {
		if err := os.Symlink(target, filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	ls := look(t, "ls")
	for name, body := range standIns {
		h.tool(name, "ls="+ls+"\n"+body)
	}
	for _, name := range realTools {
		h.tool(name, `exec `+look(t, name)+` "$@"`)
	}
	h.write("etc/passwd", "root:x:0:0::"+dir+"/root:/bin/sh\nalice:x:1001:1001::"+dir+"/home/alice:/bin/sh\n", 0o644)
	h.write("etc/shadow", "", 0o644)
	h.write("etc/groups", "alice\n", 0o644)
	h.settings()
	return h
}

func look(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tool puts a command into the host's PATH. It notes that it was started, and does first what the
// test put into the file "before NAME".
func (h *scratchHost) tool(name, body string) {
	// cat is the test's own: the script has none.
	h.write("bin/"+name, "#!/bin/sh\nd="+h.dir+"\ncat() { "+look(h.t, "cat")+` "$@"; }`+"\necho "+name+` >>"$d/started"
[ ! -e "$d/before `+name+`" ] || . "$d/before `+name+`"
`+body+"\n", 0o755)
}

// before has a line of shell run each time that a command is started; $d is the host's folder, and
// once makes it the last time.
func (h *scratchHost) before(command, line string) {
	h.write("before "+command, `once() { "`+look(h.t, "rm")+`" "$d/before `+command+`"; }`+"\n"+line+"\n", 0o644)
}

// settings gives sshd's effective settings: those of a plain host, then lines that replace them.
func (h *scratchHost) settings(lines ...string) {
	all := []string{
		"port 22", "listenaddress 0.0.0.0:22", "usepam yes", "permitrootlogin without-password", "pubkeyauthentication yes",
		"strictmodes yes", "chrootdirectory none", "trustedusercakeys none", "revokedkeys none", "authorizedkeyscommand none",
		"authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2", "authenticationmethods any",
	}
	for _, line := range lines {
		key, _, _ := strings.Cut(line, " ")
		all = slices.DeleteFunc(all, func(l string) bool { return strings.HasPrefix(l, key+" ") })
	}
	h.write("etc/settings", strings.Join(append(all, lines...), "\n")+"\n", 0o644)
}

func (h *scratchHost) write(name, text string, mode os.FileMode) {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
}

func (h *scratchHost) read(name string) string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	return string(text)
}

// left fails the test if alice's key directory holds anything but names.
func (h *scratchHost) left(names ...string) {
	h.t.Helper()
	entries, _ := os.ReadDir(filepath.Join(h.dir, "home/alice/.ssh"))
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(names, got); diff != "" {
		h.t.Errorf("files of .ssh (-want +got):\n%s", diff)
	}
}

const hostID = "i-0123456789abcdef0"

// run has the host follow an order, as AWS-RunShellScript would bring it.
func (h *scratchHost) run(o Order) (stdout string) {
	h.t.Helper()
	commands, err := o.Commands()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := h.runText(strings.Join(commands, "\n"))
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *scratchHost) runText(text string) (string, error) {
	file := filepath.Join(h.dir, "order-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(h.dir, "bin/sh"), file)
	cmd.Env = []string{"PATH=" + filepath.Join(h.dir, "bin"), "AWS_SSM_INSTANCE_ID=" + hostID}
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return string(out), err
}

// word says an answer about one user as "code reason present remaining +added -removed ?foreign".
func (h *scratchHost) word(o Order) string {
	h.t.Helper()
	out := h.run(o)
	a, err := Decode(out, o, hostID)
	if err != nil {
		h.t.Fatalf("%v:\n%s", err, out)
	}
	u := a.Users[0]
	return fmt.Sprintf("%s %s %s %s +%d -%d ?%d", u.Code, u.Reason, marks(u.Present), marks(u.Remaining), u.Added, u.Removed, u.Foreign)
}

func marks(p []Presence) string { return string(p) }

func (h *scratchHost) want(o Order, word string) {
	h.t.Helper()
	if got := h.word(o); got != word {
		h.t.Errorf("the host says %q, want %q", got, word)
	}
}

func (h *scratchHost) wantFile(name, text string) {
	h.t.Helper()
	if diff := cmp.Diff(text, h.read(name)); diff != "" {
		h.t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// keyring holds the keys of a test by what they are to it.
type keyring struct{ live, retired, foreign sshkey.PublicKey }

func newKeyring(t *testing.T) keyring {
	t.Helper()
	var keys [3]sshkey.PublicKey
	for i, comment := range []string{"keytrail:fleet:2", "keytrail:fleet:1", "ops@laptop"} {
		k, err := sshkey.Generate(sshkey.Ed25519, sshkey.OpenSSH, comment)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = k.Public()
	}
	return keyring{keys[0], keys[1], keys[2]}
}

// order asks for the live key in place of the retired one.
func (k keyring) order(action Action) Order {
	return Order{
		Action: action, Nonce: "NONCE-0123456789", Scope: Scope("arn:fleet"), Users: []string{"alice"},
		Install: []sshkey.PublicKey{k.live}, Retire: []sshkey.Fingerprint{k.retired.Fingerprint()},
		Generation: 1_000, Expires: time.Unix(1<<33, 0),
	}
}

func TestAnOrderIsFollowedAndFollowedAgain(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		k := newKeyring(t)
		garbage := "\tgarb\"' $(id)\r\n" + everyByte() + "\n# " // which is nobody's business
		h.write(aliceKeys, garbage+k.retired.String()+"\n"+k.retired.String()+"\nno-pty "+k.foreign.String(), 0o640)
		o := k.order(Apply)
		h.want(o, "ok  y - +1 -1 ?1")
		after := garbage + k.retired.String() + "\nno-pty " + k.foreign.String() + "\n" + k.live.String() + "\n"
		h.wantFile(aliceKeys, after)
		was, err := os.Stat(filepath.Join(h.dir, aliceKeys))
		if err != nil {
			t.Fatal(err)
		}
		h.want(o, "ok  y - +0 -0 ?1")
		is, err := os.Stat(filepath.Join(h.dir, aliceKeys))
		if err != nil {
			t.Fatal(err)
		}
		if !os.SameFile(was, is) || !was.ModTime().Equal(is.ModTime()) || is.Mode() != 0o640 {
			t.Errorf("a second run wrote the file again, or its mode changed to %v", is.Mode())
		}
		h.left("authorized_keys")
	})
}

// everyByte returns all that a line may hold but NUL and its neighbour, which make a file refused.
func everyByte() string {
	var b []byte
	for c := 2; c < 256; c++ {
		if c != '\n' {
			b = append(b, byte(c), 'x')
		}
	}
	return string(b)
}

func TestAFirstKeyMakesDirectoryAndFile(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		k := newKeyring(t)
		h.want(k.order(Inspect), "ok  - - +0 -0 ?0")
		h.left()
		h.want(k.order(Apply), "ok  y - +1 -0 ?0")
		h.wantFile(aliceKeys, k.live.String()+"\n")
		for name, mode := range map[string]os.FileMode{"home/alice/.ssh": 0o700 | os.ModeDir, aliceKeys: 0o600} {
			if info, err := os.Stat(filepath.Join(h.dir, name)); err != nil || info.Mode() != mode {
				t.Errorf("%s has mode %v, %v, want %v", name, info.Mode(), err, mode)
			}
		}
	})
}

// TestNoKeyGoesBeforeTheLiveOneIsTaken: whatever keeps sshd from taking the live key keeps the
// retired one as well.
func TestNoKeyGoesBeforeTheLiveOneIsTaken(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		settings, shadow, word string
	}{
		"public keys are off":             {"pubkeyauthentication no", "", "refused pubkey n y +1 -0 ?0"},
		"a password is asked as well":     {"authenticationmethods publickey,password", "", "refused methods n y +1 -0 ?0"},
		"the type is not accepted":        {"pubkeyacceptedalgorithms rsa-sha2-512,ecdsa-*", "", "refused algorithm n y +1 -0 ?0"},
		"the user is denied":              {"denyusers a?ice", "", "refused users n y +1 -0 ?0"},
		"only others are allowed":         {"allowusers bob@*", "", "refused users n y +1 -0 ?0"},
		"the user's group is denied":      {"denygroups *", "", "refused groups n y +1 -0 ?0"},
		"only other groups are allowed":   {"allowgroups wheel", "", "refused groups n y +1 -0 ?0"},
		"the account has expired":         {"usepam yes", "alice:*:1:0:99999:7::2:", "refused expired n y +1 -0 ?0"},
		"the password expired, with PAM":  {"usepam yes", "alice:*:1:0:1:7:1::", "refused expired n y +1 -0 ?0"},
		"the account is locked, no PAM":   {"usepam no", "alice:!:1:0:99999:7:::", "refused locked n y +1 -0 ?0"},
		"the list of revoked keys is out": {"revokedkeys /nonexistent/revoked", "", "refused revoked n y +1 -0 ?0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, h := newKeyring(t), newScratchHost(t, look(t, "sh"))
			h.write(aliceKeys, k.retired.String()+"\n", 0o600)
			h.write("etc/shadow", row.shadow+"\n", 0o600)
			h.settings(row.settings)
			h.want(k.order(Apply), row.word)
			h.wantFile(aliceKeys, k.retired.String()+"\n"+k.live.String()+"\n")
		})
	}
}

// TestAnOrderWithoutLiveKeyLeavesTheLastKey: what is retired goes only while a key stays that sshd
// takes and that opens a shell.
func TestAnOrderWithoutLiveKeyLeavesTheLastKey(t *testing.T) {
	t.Parallel()
	const second = "home/alice/.ssh/authorized_keys2"
	for name, row := range map[string]struct {
		settings, first, second string // in the files, RETIRED and FOREIGN are lines
		word, want, want2       string
	}{
		"the retired key is alone":      {"", "RETIRED\n", "", "failed last  y +0 -0 ?0", "RETIRED\n", ""},
		"another key stays beside it":   {"", "RETIRED\nFOREIGN\n", "", "ok   - +0 -1 ?1", "FOREIGN\n", ""},
		"another key in another file":   {"", "RETIRED\n", "FOREIGN\n", "ok   - +0 -1 ?1", "", "FOREIGN\n"},
		"it stands in two files":        {"", "RETIRED\n", "RETIRED\nno-pty FOREIGN\n", "ok   - +0 -2 ?1", "", "no-pty FOREIGN\n"},
		"it stands twice and alone":     {"", "RETIRED\n", "no-pty RETIRED\n", "failed last  y +0 -0 ?0", "RETIRED\n", "no-pty RETIRED\n"},
		"the other runs a command":      {"", "RETIRED\ncommand=\"date\" FOREIGN\n", "", "failed last  y +0 -0 ?1", "RETIRED\ncommand=\"date\" FOREIGN\n", ""},
		"the other is bound to clients": {"", "RETIRED\nfrom=\"10.0.0.1\" FOREIGN\n", "", "failed last  y +0 -0 ?1", "RETIRED\nfrom=\"10.0.0.1\" FOREIGN\n", ""},
		"a line of the other is free":   {"", "RETIRED\ncommand=\"date\" FOREIGN\nFOREIGN\n", "", "ok   - +0 -1 ?2", "command=\"date\" FOREIGN\nFOREIGN\n", ""},
		"the other has another type": {"pubkeyacceptedalgorithms ssh-ed25519", "RETIRED\nECDSA\n", "",
			"failed last  y +0 -0 ?1", "RETIRED\nECDSA\n", ""},
		"the other's type is taken": {"pubkeyacceptedalgorithms ecdsa-sha2-nistp256", "RETIRED\nFOREIGN\nECDSA\n", "",
			"ok   - +0 -1 ?2", "FOREIGN\nECDSA\n", ""},
		"the list of revoked keys is out": {"revokedkeys /nonexistent/revoked", "RETIRED\nFOREIGN\n", "",
			"failed last  y +0 -0 ?1", "RETIRED\nFOREIGN\n", ""},
		"sshd refuses the account": {"denyusers alice", "RETIRED\nFOREIGN\n", "",
			"refused users  y +0 -0 ?1", "RETIRED\nFOREIGN\n", ""},
		"nothing is retired there": {"", "FOREIGN\n", "", "ok   - +0 -0 ?1", "FOREIGN\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, h := newKeyring(t), newScratchHost(t, look(t, "sh"))
			ecdsa, err := sshkey.Generate(sshkey.ECDSAP256, sshkey.OpenSSH, "ops@laptop")
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.NewReplacer("RETIRED", k.retired.String(), "FOREIGN", k.foreign.String(), "ECDSA", ecdsa.Public().String())
			if row.settings != "" {
				h.settings(row.settings)
			}
			h.write(aliceKeys, lines.Replace(row.first), 0o600)
			if row.second != "" {
				h.write(second, lines.Replace(row.second), 0o600)
			}
			o := k.order(Apply)
			o.Install = nil
			h.want(o, row.word)
			h.wantFile(aliceKeys, lines.Replace(row.want))
			h.wantFile(second, lines.Replace(row.want2))
		})
	}
}

// TestTheLastKeyIsCountedWhenAFileIsEdited: what stayed when the user was looked at may go before his
// file is changed, and two secrets that leave him must not take each other for what stays.
func TestTheLastKeyIsCountedWhenAFileIsEdited(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		k := newKeyring(t)
		o := k.order(Apply)
		o.Install = nil
		const second = "home/alice/.ssh/authorized_keys2"
		h.write(aliceKeys, k.retired.String()+"\n", 0o600)
		h.write(second, k.foreign.String()+"\n", 0o600)
		h.before("ln", `once; : >"$d/`+second+`"`)
		h.want(o, "failed last  y +0 -0 ?0")
		h.wantFile(aliceKeys, k.retired.String()+"\n")
		h.left("authorized_keys", "authorized_keys2")

		h.settings("authorizedkeysfile " + h.dir + "/etc/keys/%u .ssh/authorized_keys")
		h.write("etc/keys/alice", k.foreign.String()+"\n", 0o600)
		other := k.order(Apply)
		other.Install, other.Retire = nil, []sshkey.Fingerprint{k.foreign.Fingerprint()}
		other.Scope = Scope("another")
		done := make(chan string, 2)
		for _, o := range []Order{o, other} {
			go func() { done <- h.word(o) }()
		}
		words := []string{<-done, <-done}
		slices.Sort(words)
		if diff := cmp.Diff([]string{"failed last  y +0 -0 ?0", "ok   - +0 -1 ?1"}, words); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
	})
}

// TestWritersWithoutALockLoseNothing puts another writer into the worst moments.
func TestWritersWithoutALockLoseNothing(t *testing.T) {
	for name, row := range map[string]struct{ command, line, want string }{
		"who appends before the copy is renamed": {
			"mv", `once; echo '# mine' >>"$d/` + aliceKeys + `"`, "# theirs\n# mine\nLIVE\n"},
		"who opened the file before and writes to it after": {
			"tr", `for f in "$d"/home/alice/.ssh/.*.old; do [ ! -e "$f" ] || [ -e "${f%old}new" ] || { once; echo '# mine' >>"$f"; }; done`, "# theirs\n# mine\nLIVE\n"},
		"who puts another file in its place": {
			"dd", `once; echo '# mine' >"$d/etc/other"; ` + "mv=$(command -v mv); " + `"$mv" "$d/etc/other" "$d/` + aliceKeys + `"`, "# mine\nLIVE\n"},
		"who writes the file anew in place": {
			"mv", `once; echo '# mine' >"$d/` + aliceKeys + `"`, "# mine\nLIVE\n"},
		"who leaves half a line": {
			"mv", `once; printf '# half' >>"$d/` + aliceKeys + `"`, "# theirs\n# half\nLIVE\n"},
	} {
		t.Run(name, func(t *testing.T) {
			inEveryShell(t, func(t *testing.T, h *scratchHost) {
				k := newKeyring(t)
				h.write(aliceKeys, "# theirs\n"+k.live.String()+"\n"+k.retired.String()+"\n", 0o600)
				h.before(row.command, row.line)
				h.word(k.order(Apply))
				got := strings.Split(strings.ReplaceAll(h.read(aliceKeys), k.live.String(), "LIVE"), "\n")
				want := strings.Split(row.want, "\n")
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
				if h.read("before "+row.command) != "" {
					t.Errorf("%s was never started", row.command)
				}
				h.left("authorized_keys")
			})
		})
	}
}

// TestAKilledRunLeavesAFileThatWorks kills the script's worker at each step of an edit.
func TestAKilledRunLeavesAFileThatWorks(t *testing.T) {
	for _, command := range []string{"ln", "cp", "dd", "mv", "rm"} {
		t.Run("before "+command, func(t *testing.T) {
			inEveryShell(t, func(t *testing.T, h *scratchHost) {
				k := newKeyring(t)
				before := k.retired.String() + "\n" + k.live.String() + "\n"
				h.write(aliceKeys, before, 0o600)
				// mv and rm are root's as well, for the state.
				h.before(command, `for f in "$d"/home/alice/.ssh/.*.keytrail* "$d/before ln"; do [ ! -e "$f" ] || { once; kill -9 $PPID; break; }; done`)
				h.want(k.order(Apply), "unverifiable worker   +0 -0 ?0")
				if got := h.read(aliceKeys); got != before && got != k.live.String()+"\n" {
					t.Errorf("the key file is neither the old nor the new one:\n%s", got)
				}
				h.want(k.order(Apply), "ok  y - +0 -"+strconv.Itoa(strings.Count(h.read(aliceKeys), k.retired.Blob()))+" ?0")
				h.wantFile(aliceKeys, k.live.String()+"\n")
				h.left("authorized_keys")
			})
		})
	}
}

// TestWhatCannotBeWrittenWholeIsNotWritten: a full disk may cut what any command writes.
func TestWhatCannotBeWrittenWholeIsNotWritten(t *testing.T) {
	inCopy := `for f in "$d"/home/alice/.ssh/.*.new; do [ ! -e "$f" ] || `
	for name, row := range map[string]struct{ command, line string }{
		"the link":     {"ln", "exit 1"},
		"the copy":     {"cp", "exit 1"},
		"what is left": {"awk", `case $* in *doomed=*) head -c 20 "$d/` + aliceKeys + `"; exit 2 ;; esac`},
		"the rest":     {"awk", `case $* in *doomed=*) for f in "$d"/home/alice/.ssh/.*.new; do rm "$f"; ln -s /dev/full "$f"; done; cat "$d/` + aliceKeys + `"; exit ;; esac`},
		"the rename":   {"mv", inCopy + `exit 1; done`},
	} {
		if _, err := os.Stat("/dev/full"); err != nil && name == "the rest" {
			continue // Linux alone has a disk that is always full
		}
		t.Run(name, func(t *testing.T) {
			inEveryShell(t, func(t *testing.T, h *scratchHost) {
				k := newKeyring(t)
				h.settings("authorizedkeysfile .ssh/authorized_keys")
				before := k.live.String() + "\n" + k.retired.String() + "\n"
				h.write(aliceKeys, before, 0o600)
				h.before(row.command, row.line)
				h.want(k.order(Apply), "failed write y y +0 -0 ?0")
				h.wantFile(aliceKeys, before)
				h.left("authorized_keys")
			})
		})
	}
}

// TestWhatWasNotReadWholeIsNotBelieved: a listing without its last line tells nothing, above all not
// that a retired key is gone.
func TestWhatWasNotReadWholeIsNotBelieved(t *testing.T) {
	for name, row := range map[string]struct{ command, line string }{
		"ssh-keygen dies":   {"ssh-keygen", `[ ! -e "$d/etc/read" ] || exit 1; : >"$d/etc/read"`},
		"awk dies":          {"awk", `case $* in *sign=*) exit 2 ;; esac`},
		"tr dies":           {"tr", `printf 'garbage' ; kill -9 $$`},
		"runuser dies":      {"runuser", "exit 1"},
		"the user says so":  {"runuser", `echo 'end 0 0 - -'; exit`},
		"the user tells us": {"runuser", `printf 'file 1 read\nfile 2 read\n"},{"user":"root","code":"ok\nend 0 0 - -\n'; exit`},
		"the user orders":   {"runuser", `printf 'file 1 read\nfile 2 read\nend 0 0 - $(id)\n'; exit`},
	} {
		t.Run(name, func(t *testing.T) {
			inEveryShell(t, func(t *testing.T, h *scratchHost) {
				k := newKeyring(t)
				before := k.live.String() + "\n" + k.retired.String() + "\n"
				h.write(aliceKeys, before, 0o600)
				h.before(row.command, row.line)
				o := k.order(Apply)
				if got := h.word(o); !strings.HasPrefix(got, "unverifiable worker ") {
					t.Errorf("the host says %q", got)
				}
				h.wantFile(aliceKeys, before)
			})
		})
	}
}

// TestALateOrderChangesNothing: Systems Manager delivers to a host that was away, in any order.
func TestALateOrderChangesNothing(t *testing.T) {
	for name, row := range map[string]struct {
		late func(*Order)
		was  string // what the host remembers
		want string
	}{
		"older than the last one":   {func(o *Order) { o.Generation = 999 }, "1000", refusals["superseded"]},
		"after its time":            {func(o *Order) { o.Expires = time.Unix(1, 0) }, "", refusals["expired"]},
		"while the state is spoilt": {func(*Order) {}, "10x", refusals["state"]},
		"while the state is empty":  {func(*Order) {}, "", refusals["state"]},
	} {
		t.Run(name, func(t *testing.T) {
			inEveryShell(t, func(t *testing.T, h *scratchHost) {
				k := newKeyring(t)
				o := k.order(Apply)
				row.late(&o)
				if row.want != refusals["expired"] {
					h.write("root/.keytrail/"+o.Scope+"/generation", row.was+"\n", 0o600)
				}
				out := h.run(o)
				if _, err := Decode(out, o, hostID); err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("%v, want %s:\n%s", err, row.want, out)
				}
				h.left()
				o.Action = Inspect
				h.want(o, "ok  - - +0 -0 ?0")
			})
		})
	}
}

// TestALockThatIsHeldIsWaitedForAndNamed: one order of a secret at a time, and one edit in a directory.
func TestALockThatIsHeldIsWaitedForAndNamed(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		k := newKeyring(t)
		o := k.order(Apply)
		h.before("sleep", "exit 0") // nobody waits in a test
		h.write(aliceKeys, k.retired.String()+"\n", 0o600)
		h.settings("authorizedkeysfile .ssh/authorized_keys")
		h.want(k.order(Inspect), "ok  - y +0 -0 ?0")
		release := h.lock("home/alice/.ssh")
		h.want(o, "failed lock - y +0 -0 ?0")
		release()
		release = h.lock("root/.keytrail/" + o.Scope)
		if _, err := Decode(h.run(o), o, hostID); err == nil || !strings.Contains(err.Error(), refusals["busy"]) {
			t.Errorf("%v, want %s", err, refusals["busy"])
		}
		release()
		h.want(o, "ok  y - +1 -1 ?0")
	})
}

func (h *scratchHost) lock(dir string) (release func()) {
	h.t.Helper()
	f, err := os.Open(filepath.Join(h.dir, dir))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		h.t.Fatal(err)
	}
	return func() { f.Close() }
}

// TestTwoSecretsOfOneUserRotateAtOnce races orders of two scopes against each other.
func TestTwoSecretsOfOneUserRotateAtOnce(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		a, b := newKeyring(t), newKeyring(t)
		h.write(aliceKeys, a.retired.String()+"\n# mine\n"+b.retired.String(), 0o600)
		done := make(chan string, 2)
		for _, k := range []keyring{a, b} {
			o := k.order(Apply)
			o.Scope = Scope(string(k.live.Fingerprint()))
			go func() { done <- h.word(o) }()
		}
		for range 2 {
			if got := <-done; !strings.HasPrefix(got, "ok  y - +1 -1 ") {
				t.Errorf("a host says %q", got)
			}
		}
		lines := strings.Split(h.read(aliceKeys), "\n")
		want := []string{"", "# mine", a.live.String(), b.live.String()}
		slices.Sort(lines)
		slices.Sort(want)
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		h.left("authorized_keys")
	})
}

func TestMoreUsersThanALineHoldsAreInTheDetail(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		o := newKeyring(t).order(Inspect)
		for i := range maxUsers - 1 {
			o.Users = append(o.Users, fmt.Sprintf("nobody-of-that-name-number-%d", i))
		}
		out := h.run(o)
		first, _, _ := strings.Cut(out, "\n")
		// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CommandPlugin.html
		if len(first) > 2300 || len(out) > 24_000 {
			t.Errorf("the summary has %d characters and all %d: Systems Manager shows 2,500 and 24,000", len(first), len(out))
		}
		if _, err := Decode(out[:2500], o, hostID); !errors.Is(err, ErrDetail) {
			t.Errorf("the first 2,500 characters: %v, want %v", err, ErrDetail)
		}
		a, err := Decode(out, o, hostID)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Users) != maxUsers || a.Users[0].Code != CodeOK || a.Users[maxUsers-1].Code != CodeNoUser {
			t.Errorf("got %+v", a.Users)
		}
	})
}

// TestTheScriptChecksForItselfWhatItIsGiven: documents and roles may change behind our back.
func TestTheScriptChecksForItselfWhatItIsGiven(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		commands, err := newKeyring(t).order(Apply).Commands()
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range commands[:len(commands)-1] {
			name, value, _ := strings.Cut(strings.Trim(line, "'"), "='")
			for _, evil := range []string{"", "$(touch pwned)", value + "\n", value + ";", value + "é", value + "*", "`id`", `\`} {
				spoilt := slices.Clone(commands)
				spoilt[i] = name + "='" + evil + "'"
				out, err := h.runText(strings.Join(spoilt, "\n"))
				if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 64 || out != "" {
					t.Errorf("%s=%q: %v, %q", name, evil, err, out)
				}
			}
		}
		h.left()
		if entries, _ := os.ReadDir(filepath.Join(h.dir, "root")); len(entries) != 0 {
			t.Errorf("root's home holds %v", entries)
		}
	})
}

// TestWhereThereIsNoRunuser: Alpine has su alone. Elsewhere in these tests there is no timeout.
func TestWhereThereIsNoRunuser(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		if err := os.Remove(filepath.Join(h.dir, "bin/runuser")); err != nil {
			t.Fatal(err)
		}
		h.tool("su", `
[ "$1 $3 $5 $6" = "-s -c -- alice" ] || exit 1
shell=$2 text=$4
shift 6
exec "$shell" -c "$text" "$@"`)
		h.tool("timeout", `
[ "$1 $2" = "-s KILL" ] || exit 1
shift 3
exec "$@"`)
		h.want(newKeyring(t).order(Apply), "ok  y - +1 -0 ?0")
	})
}

// TestRootIsManagedWhereThatIsAllowed also shows that a user is no other for having the number 0.
func TestRootIsManagedWhereThatIsAllowed(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		o := newKeyring(t).order(Apply)
		h.write("etc/passwd", h.read("etc/passwd")+"toor:x:0:0::"+h.dir+"/home/toor:/bin/sh\n", 0o644)
		for _, user := range []string{"root", "toor"} {
			o.Users = []string{user}
			o.AllowRoot = false
			h.want(o, "refused root   +0 -0 ?0")
		}
		o.Users, o.AllowRoot = []string{"root"}, true
		h.want(o, "ok  y - +1 -0 ?0")
		h.wantFile("root/.ssh/authorized_keys", o.Install[0].String()+"\n")
	})
}

// TestFilesOfRootsAreEditedByRoot: a folder for keys that users cannot write, with the old key in a
// file of either kind.
func TestFilesOfRootsAreEditedByRoot(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		k := newKeyring(t)
		const rooted = "etc/keys/alice"
		h.settings("authorizedkeysfile " + h.dir + "/etc/keys/%u %h/.ssh/authorized_keys")
		h.write("etc/keys/bob", "", 0o600)
		h.write(aliceKeys, k.retired.String()+"\n", 0o600)
		h.want(k.order(Apply), "ok  y - +1 -1 ?0")
		h.wantFile(rooted, k.live.String()+"\n")
		h.wantFile(aliceKeys, "")
		next := newKeyring(t)
		next.retired = k.live
		h.want(next.order(Apply), "ok  y - +1 -1 ?0")
		h.wantFile(rooted, next.live.String()+"\n")
	})
}

// TestALinkOfTheUserNeverLeadsRoot: what a user may point elsewhere, root does not follow.
func TestALinkOfTheUserNeverLeadsRoot(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		k := newKeyring(t)
		h.settings("authorizedkeysfile .ssh/authorized_keys")
		h.write("root/.ssh/authorized_keys", k.retired.String()+"\n", 0o600)
		h.write("home/alice/.ssh/x", "", 0o600)
		if err := os.Symlink(h.dir+"/root/.ssh/authorized_keys", filepath.Join(h.dir, aliceKeys)); err != nil {
			t.Fatal(err)
		}
		if got := h.word(k.order(Apply)); !strings.HasPrefix(got, "refused ") {
			t.Errorf("the host says %q", got)
		}
		h.wantFile("root/.ssh/authorized_keys", k.retired.String()+"\n")
	})
}

func TestEachUserCostsFewProcesses(t *testing.T) {
	t.Parallel()
	h := newScratchHost(t, look(t, "sh"))
	k := newKeyring(t)
	started := func(o Order) int {
		h.write("started", "", 0o600)
		h.run(o)
		return strings.Count(h.read("started"), "\n")
	}
	o := k.order(Apply)
	first, again, inspect := started(o), started(o), started(k.order(Inspect))
	o.Users = []string{"alice", "alicia"}
	h.write("etc/passwd", h.read("etc/passwd")+"alicia:x:1001:1001::"+h.dir+"/home/alice:/bin/sh\n", 0o644)
	user := started(o) - again
	t.Logf("%d to install, %d to find all in order, %d to inspect, %d for a further user", first, again, inspect, user)
	if user > 15 || again > 35 || inspect > 30 {
		t.Error("that is more than 15 for a user and 20 for the host")
	}
}

const bobKeys = "home/bob/.ssh/authorized_keys"

// account adds a line to passwd.
func (h *scratchHost) account(name string, uid int, home string) {
	h.t.Helper()
	h.write("etc/passwd", h.read("etc/passwd")+fmt.Sprintf("%s:x:%d:%[2]d::%s:/bin/sh\n", name, uid, home), 0o644)
}

// others says what an answer tells of accounts that were not ordered: "bob y, carol unverifiable; 2 skipped".
func (h *scratchHost) others(o Order) string {
	h.t.Helper()
	out := h.run(o)
	a, err := Decode(out, o, hostID)
	if err != nil {
		h.t.Fatalf("%v:\n%s", err, out)
	}
	var words []string
	for _, u := range a.Others {
		word := marks(u.Remaining)
		if word == "" {
			word = string(u.Code)
		}
		words = append(words, u.User+" "+word)
	}
	text := strings.Join(words, ", ")
	if a.Skipped > 0 {
		text += fmt.Sprintf("; %d skipped", a.Skipped)
	}
	if text == "" && (strings.Contains(out, "others") || strings.Contains(out, "skipped")) {
		h.t.Errorf("an answer without other accounts mentions them:\n%s", out)
	}
	return text
}

func (h *scratchHost) wantOthers(o Order, text string) {
	h.t.Helper()
	if got := h.others(o); got != text {
		h.t.Errorf("of other accounts the host says %q, want %q", got, text)
	}
}

// TestAnInspectionLooksIntoEveryAccount: an order to apply leaves alone what it was not told of.
func TestAnInspectionLooksIntoEveryAccount(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		k := newKeyring(t)
		h.account("bob", 1002, h.dir+"/home/bob")
		h.write(aliceKeys, k.live.String()+"\n", 0o600)
		inspect := k.order(Inspect)
		h.wantOthers(inspect, "")
		text := "# bob's\n" + k.foreign.String() + "\n"
		h.write(bobKeys, text, 0o600)
		h.wantOthers(inspect, "")
		text += "no-pty " + k.retired.String() + "\n"
		h.write(bobKeys, text, 0o600)
		h.wantOthers(inspect, "bob y")
		h.want(inspect, "ok  y - +0 -0 ?0")
		h.want(k.order(Apply), "ok  y - +0 -0 ?0")
		h.wantOthers(k.order(Apply), "")
		h.wantFile(bobKeys, text)

		told, err := Observe(Node{ID: hostID}, inspect, h.run(inspect))
		if err != nil || len(told) != 2 {
			t.Fatalf("%v, %+v", err, told)
		}
		want := Observation{Host: hostID, User: "bob", State: Stale, Elsewhere: true, Remaining: inspect.Retire,
			Reason: "the account was not asked about, and trusts a retired key"}
		if diff := cmp.Diff(want, told[1]); diff != "" {
			t.Errorf("observation (-want +got):\n%s", diff)
		}

		inspect.Users = []string{"bob"}
		h.wantOthers(inspect, "")
		inspect.Users = []string{"carol"}
		h.wantOthers(inspect, "bob y")
		inspect.Retire = nil
		h.wantOthers(inspect, "")
	})
}

// TestWhereOtherAccountsHaveTheirKeys: in whatever file sshd reads for them, and each file once.
func TestWhereOtherAccountsHaveTheirKeys(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		settings, bobs string // DIR is the host's
		file           string
		text           string // RETIRED and FOREIGN are keys
		want           string
	}{
		"where the ordered user has them":     {"DIR/etc/keys/%u", "", "etc/keys/bob", "RETIRED\n", "bob y"},
		"where nobody has them":               {"none", "", bobKeys, "RETIRED\n", ""},
		"where he alone has them":             {"DIR/etc/keys/%u", "%h/.ssh/authorized_keys", bobKeys, "RETIRED\n", "bob y"},
		"where he alone has none":             {".ssh/authorized_keys", "none", bobKeys, "RETIRED\n", ""},
		"in a file of all":                    {"DIR/etc/keys/all .ssh/authorized_keys", "", "etc/keys/all", "RETIRED\n", ""},
		"in a pattern that is not known":      {"DIR/etc/keys/%i", "", bobKeys, "RETIRED\n", "; 2 skipped"},
		"in a file that is too long":          {".ssh/authorized_keys", "", bobKeys, "FOREIGN\n" + strings.Repeat("#\n", 1<<19), "bob ?"},
		"in a file that is long, and first":   {".ssh/authorized_keys", "", bobKeys, "RETIRED\n\x00\n", "bob ?"},
		"in a comment":                        {".ssh/authorized_keys", "", bobKeys, "# RETIRED\nFOREIGN\n", ""},
		"in the second file, without a first": {".ssh/authorized_keys .ssh/authorized_keys2", "", bobKeys + "2", "FOREIGN\nRETIRED", "bob y"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, h := newKeyring(t), newScratchHost(t, look(t, "sh"))
			h.account("bob", 1002, h.dir+"/home/bob")
			h.settings("authorizedkeysfile " + strings.ReplaceAll(row.settings, "DIR", h.dir))
			if row.bobs != "" {
				h.before("sshd", `case $3 in user=bob,*) printf 'pubkeyauthentication yes\nauthorizedkeysfile `+strings.ReplaceAll(row.bobs, "%", "%%")+`\n'; exit ;; esac`)
			}
			h.write(row.file, strings.NewReplacer("RETIRED", k.retired.String(), "FOREIGN", k.foreign.String()).Replace(row.text), 0o600)
			h.wantOthers(k.order(Inspect), row.want)
		})
	}
}

// TestRootIsLookedAtWithoutLeave: to look is no harm.
func TestRootIsLookedAtWithoutLeave(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		k := newKeyring(t)
		h.account("toor", 0, h.dir+"/home/toor")
		h.write("root/.ssh/authorized_keys", k.retired.String()+"\n", 0o600)
		h.write("home/toor/.ssh/authorized_keys", k.retired.String()+"\n", 0o600)
		h.wantOthers(k.order(Inspect), "root y, toor y")
		o := k.order(Inspect)
		o.Users = []string{"root"}
		h.want(o, "refused root   +0 -0 ?0")
		h.wantOthers(o, "toor y")
	})
}

// TestAccountsThatCannotBeLookedAtAreCounted: names and homes may hold anything, and users may lie.
func TestAccountsThatCannotBeLookedAtAreCounted(t *testing.T) {
	inEveryShell(t, func(t *testing.T, h *scratchHost) {
		k := newKeyring(t)
		home := h.dir + "/home/bob"
		for _, name := range []string{"$(touch pwned)", "`touch pwned`", "-bob", "b ob", "alice b", `corp\bob`, "b*", "b\"ob", "", "0", "é", "+", strings.Repeat("b", 33)} {
			h.account(name, 1002, home)
		}
		for i, home := range []string{"", "bob", h.dir + "/home/b ob", h.dir + "/home/$(touch pwned)", h.dir + "/home/*"} {
			h.account(fmt.Sprintf("carol%d", i), 1002, home)
		}
		h.write("etc/passwd", h.read("etc/passwd")+"garbage\n:::\n", 0o644)
		h.write(bobKeys, k.retired.String()+"\n", 0o600)
		h.wantOthers(k.order(Inspect), "; 20 skipped")
		h.account(strings.Repeat("b", 32), 1002, home)
		h.wantOthers(k.order(Inspect), strings.Repeat("b", 32)+" y; 20 skipped")
		h.wantOthers(k.order(Apply), "")

		h.before("runuser", `case $2 in b*) printf 'file 1 read\n"}],"users":[]\nend 0 0 - -\n'; exit ;; esac`)
		h.wantOthers(k.order(Inspect), strings.Repeat("b", 32)+" unverifiable; 20 skipped")
		h.before("sshd", `case $3 in user=b*) exit 1 ;; esac`)
		h.wantOthers(k.order(Inspect), strings.Repeat("b", 32)+" unverifiable; 20 skipped")
		h.before("getent", `[ "$*" != passwd ] || exit 2`)
		h.wantOthers(k.order(Inspect), "; 1 skipped")
	})
}

// TestManyAccountsCostLittle: of most, a host only sees that they have no key file.
func TestManyAccountsCostLittle(t *testing.T) {
	t.Parallel()
	k, h := newKeyring(t), newScratchHost(t, look(t, "sh"))
	var passwd strings.Builder
	for i := range 600 {
		fmt.Fprintf(&passwd, "user%d:x:%d:%[2]d::%s/home/user%[1]d:/bin/sh\n", i, 2000+i, h.dir)
	}
	h.write("etc/passwd", h.read("etc/passwd")+passwd.String(), 0o644)
	started := func(o Order) int {
		h.write("started", "", 0o600)
		h.run(o)
		return strings.Count(h.read("started"), "\n")
	}
	o := k.order(Inspect)
	few := o
	few.Retire = nil
	if more := started(o) - started(few); more != 1 {
		t.Errorf("%d commands more to look at other accounts, want getent alone", more)
	}
	h.wantOthers(o, "; 1 skipped")
	const holders = 20
	for i := range holders {
		h.write(fmt.Sprintf("home/user%d/.ssh/authorized_keys", i), k.retired.String()+"\n", 0o600)
	}
	out := h.run(o)
	a, err := Decode(out, o, hostID)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Others) < 10 || len(a.Others)+a.Skipped != holders+1 || len(out) > 5000 {
		t.Errorf("%d accounts are told of and %d skipped, in %d characters", len(a.Others), a.Skipped, len(out))
	}
	if _, err := Decode(out[:2500], o, hostID); !errors.Is(err, ErrDetail) {
		t.Errorf("the first 2,500 characters: %v, want %v", err, ErrDetail)
	}
}

// TestTheHeaderDeclaresWhatIsUsed: nothing else was in the PATH of all these tests.
func TestTheHeaderDeclaresWhatIsUsed(t *testing.T) {
	t.Parallel()
	_, header, _ := strings.Cut(script, "through the PATH that it was given:\n")
	header, _, _ = strings.Cut(header, "#\n")
	var declared []string
	for _, word := range strings.FieldsFunc(header, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }) {
		if !slices.Contains(strings.Fields("or else where they exist and on hosts inux"), word) {
			declared = append(declared, word)
		}
	}
	want := slices.Concat(realTools, []string{"flock", "sh", "su", "timeout", "chcon", "restorecon"})
	for name := range standIns {
		want = append(want, name)
	}
	slices.Sort(declared)
	slices.Sort(want)
	if diff := cmp.Diff(want, declared); diff != "" {
		t.Errorf("commands (-used +declared):\n%s", diff)
	}
}
