package login

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// TestAServersNoIsARefusal has the library make such an error; these are its
// neighbours.
func TestOnlyADisconnectOverAuthenticationIsARefusal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{"OpenSSH at MaxAuthTries", errors.New(`ssh: disconnect, reason 2: "Too many authentication failures"`), true},
		{"the same, wrapped", fmt.Errorf("ssh: handshake failed: %w",
			errors.New(`ssh: disconnect, reason 2: "Too many authentication failures"`)), true},
		{"no method is left", errors.New(`ssh: disconnect, reason 14: "none \"left\""`), true},
		{"another breach of the protocol", errors.New(`ssh: disconnect, reason 2: "bad packet"`), false},
		{"too many connections", errors.New(`ssh: disconnect, reason 12: "Too many connections"`), false},
		{"the words elsewhere", errors.New(`read: too many authentication failures`), false},
		{"the words in another text", errors.New(`x: ssh: disconnect, reason 14: ""`), false},
		{"an end of file", io.EOF, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := hungUp(tt.err); got != tt.want {
				t.Errorf("hungUp(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}
