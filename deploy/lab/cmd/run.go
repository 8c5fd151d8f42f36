package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
)

// run keeps a lab running until the context ends, or for as long as was asked.
func run(ctx context.Context, s settings, out, people io.Writer) (err error) {
	s.options.Emit = func(e secretsmanager.Event) { narrate(people, e) }
	l, err := lab.Start(ctx, s.options)
	if err != nil {
		return err
	}
	defer func() {
		if closing := l.Close(); err == nil {
			err = closing
		}
	}()
	exports := strings.Join(l.Exports(), "\n") + "\n"
	if err := os.WriteFile(filepath.Join(l.Dir(), "env"), []byte(exports), 0o600); err != nil {
		return err
	}
	describe(people, l, s)
	if _, err := io.WriteString(out, exports); err != nil {
		return err
	}
	if s.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.duration)
		defer cancel()
	}
	<-ctx.Done()
	return nil
}

// describe tells a person what there is and how to use it.
func describe(w io.Writer, l *lab.Lab, s settings) {
	fmt.Fprintf(w, "The lab runs at %s. Everything it has is below %s.\n\n", l.URL(), l.Dir())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, h := range l.Hosts() {
		i := h.Info()
		fmt.Fprintf(t, "host\t%s\t%s\tssh on %s\t%s\n", h.ID(), i.Name, h.Address(), tagList(i.Tags))
	}
	for _, f := range s.options.Functions {
		fmt.Fprintf(t, "function\t%s\t%s\n", f.Name, l.Lambda().ARN(f.Name))
	}
	_ = t.Flush() // to a terminal, as all that follows
	fmt.Fprintf(w, "\nIn another shell:  . %s\nInterrupt to end it.\n", filepath.Join(l.Dir(), "env"))
}

// narrate tells a person what Secrets Manager did.
func narrate(w io.Writer, e secretsmanager.Event) {
	line := e.Time.Format("15:04:05 ") + e.Name + " " + e.SecretName
	for _, more := range []string{e.Label, e.VersionID, e.ErrorMessage} {
		if more != "" {
			line += " " + more
		}
	}
	fmt.Fprintln(w, line)
}
