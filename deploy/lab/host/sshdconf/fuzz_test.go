package sshdconf_test

import (
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host/sshdconf"
)

// FuzzLoad: whatever the text, reading it ends, and what was read can be printed.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		"", "Port 22", "Match User a,!b Address 10.0.0.0/8\nAllowUsers a@b", `AuthorizedKeysFile "a b" c\ d # e`,
		"Port=", "Match", "ListenAddress [::1]:22", "ListenAddress :", "Include *", "PubkeyAcceptedAlgorithms +,-", "LoginGraceTime 1h2", "\"", "ForceCommand #",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := tryLoad(text)
		if err != nil {
			return
		}
		s, err := c.Settings(alice)
		if err != nil {
			return
		}
		s.Text(func(p string) string { return p })
		_ = s.Admit(alice)
		_, _ = sshdconf.Revoked([]byte(text), []byte(text))
	})
}
