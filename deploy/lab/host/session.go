package host

import (
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// session answers the few commands that a login is tried with. There is no
// shell behind it.
type session struct {
	user, shell, forced, hostname string
}

func (s session) serve(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		switch r.Type {
		case "pty-req", "env":
			r.Reply(true, nil)
			continue
		case "shell", "exec":
			var body struct{ Command string }
			if r.Type == "exec" && ssh.Unmarshal(r.Payload, &body) != nil {
				r.Reply(false, nil)
				return
			}
			r.Reply(true, nil)
			status := s.run(channel, channel.Stderr(), body.Command)
			channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			return
		default:
			if r.WantReply {
				r.Reply(false, nil)
			}
		}
	}
}

// run answers a command as the user's shell would.
func (s session) run(stdout, stderr io.Writer, command string) (status uint32) {
	if s.forced != "" {
		command = s.forced
	}
	switch s.shell {
	case "nologin":
		io.WriteString(stdout, "This account is currently not available.\n")
		return 1
	case "false":
		return 1
	}
	words := strings.Fields(command)
	if len(words) == 0 {
		return 0
	}
	switch words[0] {
	case "true":
		return 0
	case "false":
		return 1
	case "hostname":
		io.WriteString(stdout, s.hostname+"\n")
		return 0
	case "whoami":
		io.WriteString(stdout, s.user+"\n")
		return 0
	case "echo":
		io.WriteString(stdout, strings.Join(words[1:], " ")+"\n")
		return 0
	}
	io.WriteString(stderr, words[0]+": command not found\n")
	return 127
}
