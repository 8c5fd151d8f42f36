package events

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// SecretID names a secret as a caller typed it: its ARN, its ARN without the hyphen and six characters at
// the end, or its name. Only ParseSecretID makes one; the zero value names none.
type SecretID struct{ text string }

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html: a name has at most
// 512 characters. Secrets that services manage have "!" in theirs.
var (
	secretARN  = lazily(`^arn:aws[a-z-]{0,20}:secretsmanager:[a-z0-9-]{1,30}:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]{1,519}$`)
	secretName = lazily(`^[A-Za-z0-9/_+=.@!-]{1,519}$`)
)

// lazily compiles a pattern when it is first needed.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// ParseSecretID reads what a caller may send as SecretId. It refuses text that can name no secret.
func ParseSecretID(text string) (SecretID, error) {
	if !secretARN().MatchString(text) && !secretName().MatchString(text) {
		return SecretID{}, fmt.Errorf("%.60q names no secret", text)
	}
	return SecretID{text}, nil
}

// String is the id as it was typed.
func (s SecretID) String() string { return s.text }

// IsZero says that no secret is named.
func (s SecretID) IsZero() bool { return s.text == "" }

// IsARN says that the id is an ARN, whole or partial. Only Secrets Manager knows which: a name may itself
// end like the six characters that it adds.
func (s SecretID) IsARN() bool { return strings.HasPrefix(s.text, "arn:") }

// In says that the id may be of a secret of an account and Region. A name may be of any.
func (s SecretID) In(account, region string) bool {
	if !s.IsARN() {
		return true
	}
	part := strings.SplitN(s.text, ":", 6)
	return part[3] == region && part[4] == account
}
