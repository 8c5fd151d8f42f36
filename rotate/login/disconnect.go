package login

import (
	"errors"
	"fmt"
	"strings"
)

// noMoreMethods is SSH_DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE (RFC 4253,
// section 11.1).
const noMoreMethods = 14

// tooManyFailures is what OpenSSH says, in reason 2, when the failure that it
// would have to answer reaches MaxAuthTries: with a limit of 1 it is the only
// answer that a refused key gets.
const tooManyFailures = "too many authentication failures"

// hungUp reports whether err is a server's disconnect message that refuses
// authentication. The library keeps the type of that message to itself, so it
// is read from its text, here and nowhere else.
func hungUp(err error) bool {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	var reason uint32
	var message string
	if _, scanErr := fmt.Sscanf(err.Error(), "ssh: disconnect, reason %d: %q", &reason, &message); scanErr != nil {
		return false
	}
	return reason == noMoreMethods || strings.EqualFold(message, tooManyFailures)
}
