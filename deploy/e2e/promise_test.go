package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// strangers are lines of other people: options with quotes and commas, a comment that claims to be
// ours, garbage, blanks at the end of a line, another system's line end, an empty line, a byte that is
// no text.
func strangers(t testing.TB) []string {
	return []string{
		"# of the old days ", "",
		`from="10.0.0.0/8",command="echo \"hi, there\"" ` + newKey(t, "ops").line,
		newKey(t, "keytrail:elsewhere:1").line + "\r",
		"\tssh-rsa garbage \xff\t",
	}
}

// promise is what must hold at every moment, whatever is interrupted: who reads AWSCURRENT logs in on
// every host, unless there never was one, and the lines of other people are as they were. Its methods
// may be called at once.
type promise struct {
	secret
	hosts   []*host.Host
	first   []key             // that were trusted before the first rotation
	names   []string          // of the secrets that are rotated for the same users
	foreign map[string]string // other people's lines by key file

	mu     sync.Mutex
	kept   map[string]bool // logins that went well, by host, key and what stood in the files
	broken map[string]bool
}

// promised begins to look after a secret, beside which others may be rotated for the same users. The
// first keys were put on the hosts by hand.
func promised(s secret, first []key, hosts []*host.Host, beside ...string) *promise {
	p := &promise{
		secret: s, hosts: hosts, first: first, names: append(beside, s.name),
		foreign: map[string]string{}, kept: map[string]bool{}, broken: map[string]bool{},
	}
	for _, h := range hosts {
		for path, file := range keyFiles(h) {
			p.foreign[path], _ = p.split(file.text)
		}
	}
	return p
}

type file struct {
	mode os.FileMode
	text string
}

// keyFiles returns the files that sshd reads for the user, by path.
func keyFiles(h *host.Host) map[string]file {
	paths, _ := filepath.Glob(h.Path("/home/"+user+"/.ssh") + "/authorized_keys*") // the pattern is sound
	files := map[string]file{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			files[path] = file{info.Mode(), string(text)}
		}
	}
	return files
}

// split takes our lines out of other people's.
func (p *promise) split(text string) (foreign string, ours []string) {
	var rest strings.Builder
	for line := range strings.Lines(text) {
		bare := strings.TrimSuffix(line, "\n")
		if slices.ContainsFunc(p.first, func(k key) bool { return bare == k.line }) ||
			slices.ContainsFunc(p.names, func(name string) bool { return strings.Contains(bare, " keytrail:"+name+":") }) {
			ours = append(ours, bare)
			continue
		}
		rest.WriteString(line)
	}
	return rest.String(), ours
}

// hold looks whether the promise holds at this moment. What is broken is told once.
func (p *promise) hold(ctx context.Context, when string) {
	ctx = context.WithoutCancel(ctx) // of a call whose caller may be gone
	for {
		version, err := p.look(ctx)
		if err == nil {
			return
		}
		if now, _, readErr := p.now(ctx); readErr == nil && now != version {
			continue // AWSCURRENT moved meanwhile: it is another key's turn
		}
		p.mu.Lock()
		told := p.broken[err.Error()]
		p.broken[err.Error()] = true
		p.mu.Unlock()
		if !told {
			p.t.Errorf("%s: %v", when, err)
		}
		return
	}
}

// now returns AWSCURRENT and its key pair, or "" for a secret that never had one.
func (p *promise) now(ctx context.Context) (version string, k key, err error) {
	out, err := p.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &p.arn})
	if _, none := errors.AsType[*types.ResourceNotFoundException](err); none {
		return "", key{}, nil
	}
	if err != nil {
		return "", key{}, err
	}
	k, err = parseKey(aws.ToString(out.SecretString))
	return aws.ToString(out.VersionId), k, err
}

// look returns the version that it looked at. It logs in again where something has changed since it
// last did.
func (p *promise) look(ctx context.Context) (version string, err error) {
	version, k, err := p.now(ctx)
	if err != nil {
		return version, err
	}
	var errs []error
	for _, h := range p.hosts {
		files := keyFiles(h)
		for path, want := range p.foreign {
			if got, _ := p.split(files[path].text); strings.HasPrefix(path, h.Folder()+"/") && got != want {
				errs = append(errs, fmt.Errorf("other people's lines in %s are\n%q\nand were\n%q", path, got, want))
			}
		}
		state := fmt.Sprint(h.ID(), version, files)
		p.mu.Lock()
		known := p.kept[state]
		p.mu.Unlock()
		if known || version == "" {
			continue
		}
		if err := logsIn(k, user, h); err != nil {
			errs = append(errs, fmt.Errorf("AWSCURRENT is %s: %w\n%+v", version, err, files))
			continue
		}
		p.mu.Lock()
		p.kept[state] = true
		p.mu.Unlock()
	}
	return version, errors.Join(errs...)
}

// settled looks at the end of all rotations: exactly the live keys are trusted, one line each, and
// nothing was left behind. live are those of all secrets that are rotated for the users.
func (p *promise) settled(live ...key) {
	p.t.Helper()
	p.hold(p.t.Context(), "at the end")
	if err := logsIn(p.key(current), user, p.hosts...); err != nil {
		p.t.Error(err)
	}
	for _, k := range p.first {
		if err := refused(k, user, p.hosts...); err != nil {
			p.t.Error(err)
		}
	}
	want := map[string]bool{}
	for _, k := range live {
		want[k.blob()] = true
	}
	for _, h := range p.hosts {
		seen := map[string]int{}
		for _, f := range keyFiles(h) {
			_, ours := p.split(f.text)
			for _, line := range ours {
				if blob := strings.Fields(line)[1]; want[blob] {
					seen[blob]++
				} else {
					p.t.Errorf("%s still trusts %q", h.ID(), line)
				}
			}
		}
		for _, k := range live {
			if n := seen[k.blob()]; n != 1 {
				p.t.Errorf("%s has the live key %s in %d lines", h.ID(), k.fingerprint(), n)
			}
		}
		left, err := filepath.Glob(h.Path("/home/"+user+"/.ssh") + "/.*")
		if err != nil || len(left) > 0 {
			p.t.Errorf("files left behind: %q, %v", left, err)
		}
	}
}
