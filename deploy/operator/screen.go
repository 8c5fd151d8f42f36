package operator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// colour is a rendition of text on a terminal.
type colour string

const (
	plain  colour = ""
	green  colour = "32"
	yellow colour = "33"
	red    colour = "31"
	faint  colour = "2"
	bold   colour = "1"
)

// screen is what a person sees: the answer on standard output, what is going on and what went wrong on
// standard error. Colour and progress are for terminals alone.
type screen struct {
	Streams
	colours  [2]bool // of standard output and standard error
	moving   bool    // standard error may be written over
	mu       sync.Mutex
	progress func() // ends what is shown just now
}

func newScreen(s Streams) *screen {
	usable := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" }
	// https://no-color.org
	wanted := os.Getenv("NO_COLOR") == ""
	return &screen{Streams: s, colours: [2]bool{wanted && usable(s.Out), wanted && usable(s.Err)}, moving: usable(s.Err)}
}

// paint colours text for standard output.
func (s *screen) paint(c colour, text string) string { return paint(s.colours[0], c, text) }

func paint(on bool, c colour, text string) string {
	if !on || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// say writes a line of the answer.
func (s *screen) say(format string, args ...any) {
	s.quiet()
	fmt.Fprintf(s.Out, format+"\n", args...)
}

// note writes a line about what is going on.
func (s *screen) note(format string, args ...any) {
	s.quiet()
	fmt.Fprintf(s.Err, format+"\n", args...)
}

// print writes an answer as JSON.
func (s *screen) print(answer any) error {
	s.quiet()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(answer); err != nil {
		return err
	}
	_, err := s.Out.Write(harmless([]byte(b.String())))
	return err
}

// fail tells of an error: what was asked, what was answered, what to do.
func (s *screen) fail(f *failure) {
	s.quiet()
	fmt.Fprintf(s.Err, "%s %s\n", paint(s.colours[1], red, f.asked+":"), clean(f.err.Error()))
	if f.fix != "" {
		fmt.Fprintf(s.Err, "%s %s\n", paint(s.colours[1], bold, "  do:"), clean(f.fix))
	}
}

// working shows on a terminal what is waited for, until quiet or the next one.
func (s *screen) working(what string) {
	s.quiet()
	if !s.moving {
		return
	}
	stop, done := make(chan struct{}), make(chan struct{})
	started := time.Now()
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprintf(s.Err, "\r\x1b[K%s … %s", clean(what), span(time.Since(started)))
			select {
			case <-stop:
				fmt.Fprint(s.Err, "\r\x1b[K")
				return
			case <-tick.C:
			}
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = func() { close(stop); <-done }
}

// quiet ends what working shows.
func (s *screen) quiet() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress != nil {
		s.progress()
		s.progress = nil
	}
}

// confirm asks a question that only a yes answers with yes.
func (s *screen) confirm(question string) (bool, error) {
	s.quiet()
	if !term.IsTerminal(int(s.In.Fd())) {
		return false, &failure{code: exitUsage, err: errors.New("nobody is there to ask: " + question), fix: "say --yes if you mean it"}
	}
	fmt.Fprintf(s.Err, "%s [y/N] ", question)
	line, err := bufio.NewReader(s.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// cell is one of a table. Its text is cleaned when it is written.
type cell struct {
	text   string
	colour colour
}

func word(text string) cell { return cell{text, plain} }

// words makes a row without colours.
func words(texts ...string) []cell {
	row := make([]cell, len(texts))
	for i, t := range texts {
		row[i] = word(t)
	}
	return row
}

// table writes rows below a head, each column as wide as its widest text but the last.
func (s *screen) table(head []string, rows [][]cell) {
	s.quiet()
	all := [][]cell{nil}
	for _, h := range head {
		all[0] = append(all[0], cell{h, faint})
	}
	all = append(all, rows...)
	width := make([]int, len(head))
	for _, row := range all {
		for i := range row {
			row[i].text = clean(row[i].text)
			width[i] = max(width[i], utf8.RuneCountInString(row[i].text))
		}
	}
	w := bufio.NewWriter(s.Out)
	for _, row := range all {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(s.paint(c.colour, c.text))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
	_ = w.Flush() // as Println has it: whoever closed it does not read
}
