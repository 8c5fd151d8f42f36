package sns

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Mail is a mail as its reader sees it. Its texts are what somebody published:
// whoever prints them cleans them.
type Mail struct {
	From, To, Subject string
	Date              time.Time
	Text              string // with the footer that AWS adds
}

// Mails returns the mails that went to an address, in the order in which they
// were sent.
func (s *Service) Mails(to string) ([]Mail, error) {
	if !address.MatchString(to) {
		return nil, fmt.Errorf("%q is no address that mails are sent to", to)
	}
	var mails []Mail
	err := s.eachFile(filepath.Join("mail", to), ".eml", func(_, text string) error {
		m, err := parseMail(text)
		mails = append(mails, m)
		return err
	})
	return mails, err
}

func parseMail(text string) (Mail, error) {
	raw, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return Mail{}, err
	}
	m := Mail{To: raw.Header.Get("To")}
	words := new(mime.WordDecoder)
	if m.From, err = words.DecodeHeader(raw.Header.Get("From")); err != nil {
		return Mail{}, err
	}
	if m.Subject, err = words.DecodeHeader(raw.Header.Get("Subject")); err != nil {
		return Mail{}, err
	}
	if m.Date, err = raw.Header.Date(); err != nil {
		return Mail{}, err
	}
	body := raw.Body
	if raw.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	plain, err := io.ReadAll(body)
	m.Text = strings.ReplaceAll(string(plain), "\r\n", "\n")
	return m, err
}

// Thread is a thread of a Slack channel, or a message that is in none, as
// people see it.
type Thread struct {
	ID   string
	Text string // of all its messages so far; those that are replies are indented
}

// Threads returns what the channel shows that a topic's messages go to. A
// message that it does not show, since it is no custom notification, is an
// error: nobody would ever see it.
func (s *Service) Threads(topicName string) ([]Thread, error) {
	var threads []Thread
	err := s.eachFile(filepath.Join("chat", topicName), ".txt", func(name, text string) error {
		if name == dropped {
			return fmt.Errorf("the channel does not show %s", text)
		}
		threads = append(threads, Thread{strings.TrimSuffix(name, ".txt"), text})
		return nil
	})
	return threads, err
}

// eachFile reads the files with an ending in a folder below that of the
// service, by name. A folder that does not exist has none.
func (s *Service) eachFile(folder, ending string, read func(name, text string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	folder = filepath.Join(s.options.Dir, folder)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ending {
			continue
		}
		path := filepath.Join(folder, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := read(e.Name(), string(text)); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	return err
}
