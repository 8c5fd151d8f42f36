package sshdconf

import "strings"

// The default algorithms of OpenSSH 9.2, and all that it knows.
const (
	certified = "ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256-cert-v01@openssh.com," +
		"ecdsa-sha2-nistp384-cert-v01@openssh.com,ecdsa-sha2-nistp521-cert-v01@openssh.com," +
		"sk-ssh-ed25519-cert-v01@openssh.com,sk-ecdsa-sha2-nistp256-cert-v01@openssh.com," +
		"rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256-cert-v01@openssh.com"
	signing = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521," +
		"sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256"
	accepted = certified + "," + signing
	known    = "ssh-ed25519,ssh-ed25519-cert-v01@openssh.com,sk-ssh-ed25519@openssh.com," +
		"sk-ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256,ecdsa-sha2-nistp256-cert-v01@openssh.com," +
		"ecdsa-sha2-nistp384,ecdsa-sha2-nistp384-cert-v01@openssh.com,ecdsa-sha2-nistp521," +
		"ecdsa-sha2-nistp521-cert-v01@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com," +
		"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com,webauthn-sk-ecdsa-sha2-nistp256@openssh.com," +
		"ssh-dss,ssh-dss-cert-v01@openssh.com,ssh-rsa,ssh-rsa-cert-v01@openssh.com,rsa-sha2-256," +
		"rsa-sha2-256-cert-v01@openssh.com,rsa-sha2-512,rsa-sha2-512-cert-v01@openssh.com"
)

// knownAlgorithms reports whether each name or pattern of a list stands for an
// algorithm. Names to be removed from the default are not checked, as in sshd.
func knownAlgorithms(list string) bool {
	if strings.HasPrefix(list, "-") {
		return true
	}
	for name := range strings.SplitSeq(strings.TrimLeft(list, "+^"), ",") {
		if filter(known, name, true) == "" {
			return false
		}
	}
	return true
}

// assemble applies a list, or a change that begins with + - or ^, to the
// default, and expands patterns.
func assemble(list, byDefault string) string {
	switch {
	case strings.HasPrefix(list, "+"):
		list = byDefault + "," + list[1:]
	case strings.HasPrefix(list, "-"):
		list = filter(byDefault, list[1:], false)
	case strings.HasPrefix(list, "^"):
		list = list[1:] + "," + byDefault
	}
	var names []string
	seen := map[string]bool{}
	for pattern := range strings.SplitSeq(list, ",") {
		for name := range strings.SplitSeq(filter(known, pattern, true), ",") {
			if name != "" && !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ",")
}

// filter returns the names of a list that match the patterns, or those that do not.
func filter(names, patterns string, keep bool) string {
	var kept []string
	for name := range strings.SplitSeq(names, ",") {
		if (matchList(name, patterns) == positive) == keep {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, ",")
}
