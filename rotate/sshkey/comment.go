package sshkey

import "strings"

// maxComment leaves room for "keytrail:", the longest secret name (512
// characters) and the longest version id (64).
const maxComment = 600

// clean returns what a comment may hold of s.
func clean(s string) string {
	var b strings.Builder
	replaced := false
	for _, r := range strings.Trim(s, " ") {
		if b.Len() == maxComment {
			break
		}
		switch {
		case isPlain(r):
			b.WriteRune(r)
			replaced = false
		case !replaced:
			b.WriteByte('_')
			replaced = true
		}
	}
	return b.String()
}

// isPlain reports whether r stands for itself everywhere a comment may stand.
func isPlain(r rune) bool {
	switch {
	case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9':
		return true
	}
	return strings.ContainsRune("/_+=.@:-", r)
}
