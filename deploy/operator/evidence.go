package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/keytrail/keytrail/audit/evidence"
)

func (s *session) evidenceCommand() *cobra.Command {
	c := &cobra.Command{Use: "evidence", Short: "Download the evidence, and check it without AWS"}
	var records bool
	export := &cobra.Command{
		Use: "export DIR", Short: "Download the evidence into a folder", Args: cobra.ExactArgs(1),
		Long: `export downloads what stands below evidence/ in the bucket: the manifests of the days that are over, and the
records that no manifest has yet. What is in the folder already stays: evidence never changes.`,
		RunE: func(c *cobra.Command, args []string) error { return s.export(c.Context(), args[0], records) },
	}
	export.Flags().BoolVar(&records, "records", false, "each record by itself as well, as it was written")
	verify := &cobra.Command{
		Use: "verify DIR", Short: "Check every link of the evidence in a folder, without AWS", Args: cobra.ExactArgs(1),
		Long: `verify reads every record and every manifest in a folder, and compares each with the SHA-256 that its successor
and its manifest name. It asks nobody, and changes nothing.`,
		RunE: func(_ *cobra.Command, args []string) error { return s.check(args[0]) },
	}
	c.AddCommand(export, verify)
	return c
}

func (s *session) export(ctx context.Context, dir string, records bool) error {
	k, err := s.open(ctx)
	if err != nil {
		return err
	}
	bucket, err := k.bucket()
	if err != nil {
		return err
	}
	s.working("listing the evidence")
	keys, err := bucket.List(ctx, evidence.Folder, "")
	if err != nil {
		return err
	}
	if !records {
		if keys, err = evidence.Compact(ctx, bucket, keys); err != nil {
			return err
		}
	}
	s.working(fmt.Sprintf("downloading %s", plural(len(keys), "object")))
	const atOnce = 16
	fetched := make([]bool, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, key := range keys {
		group.Go(func() (err error) {
			fetched[i], err = download(ctx, bucket, key, dir)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	news := 0
	for _, f := range fetched {
		if f {
			news++
		}
	}
	if s.output == asJSON {
		return s.print(map[string]any{"folder": dir, "objects": len(keys), "new": news})
	}
	s.say("%s in %s, %d of them new; keytrail evidence verify %s checks them", plural(len(keys), "object"), clean(dir), news, clean(dir))
	return nil
}

// download writes an object below a folder, whole or not at all, and reports whether it was not there.
func download(ctx context.Context, bucket evidence.Bucket, key, dir string) (bool, error) {
	if !filepath.IsLocal(filepath.FromSlash(key)) {
		return false, fmt.Errorf("%q is no name of evidence", key)
	}
	file := filepath.Join(dir, filepath.FromSlash(key))
	if _, err := os.Stat(file); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	body, _, err := bucket.Read(ctx, key)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return false, err
	}
	part := file + ".part"
	if err := os.WriteFile(part, body, 0o644); err != nil {
		return false, err
	}
	return true, os.Rename(part, file)
}

// checked is what evidence verify answers.
type checked struct {
	Chains  []checkedChain `json:"chains"`
	Records int            `json:"records"`
	Faults  []checkedFault `json:"faults"`
}

type checkedChain struct {
	Secret  string    `json:"secret"` // empty: the exceptions
	Records int       `json:"records"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Last    int64     `json:"last"`   // sequence
	SHA256  string    `json:"sha256"` // of the last record
}

type checkedFault struct {
	Path     string `json:"path"`
	Secret   string `json:"secret,omitempty"`
	Sequence int64  `json:"sequence,omitempty"`
	What     string `json:"what"`
	Detail   string `json:"detail"`
}

func (s *session) check(dir string) error {
	s.working("reading " + dir)
	a, err := evidence.Check(os.DirFS(dir))
	if err != nil {
		return &failure{code: exitNoInput, err: err, fix: "name the folder that keytrail evidence export wrote"}
	}
	out := checked{Chains: []checkedChain{}, Faults: []checkedFault{}}
	for _, c := range a.Chains {
		n := len(c.Records)
		out.Records += n
		out.Chains = append(out.Chains, checkedChain{c.Secret.Name, n, c.Records[0].At, c.Records[n-1].At, c.Records[n-1].Sequence, c.Sums[n-1]})
	}
	for _, f := range a.Faults {
		out.Faults = append(out.Faults, checkedFault{f.Path, f.Secret.Name, f.Sequence, string(f.What), f.Detail})
	}
	code := exitClean
	switch {
	case len(out.Faults) > 0:
		code = exitDrift
	case out.Records == 0:
		code = exitUnknown
	}
	if s.output == asJSON {
		if err := s.print(out); err != nil {
			return err
		}
		return ended(code)
	}
	var rows [][]cell
	for _, c := range out.Chains {
		name := c.Secret
		if name == "" {
			name = "(exceptions)"
		}
		rows = append(rows, words(name, fmt.Sprint(c.Records), day(c.From), day(c.To), c.SHA256))
	}
	if len(rows) > 0 {
		s.table([]string{"SECRET", "RECORDS", "FROM", "TO", "SHA-256 OF THE LAST"}, rows)
		s.say("")
	}
	for i, f := range out.Faults {
		lead := "       "
		if i == 0 {
			lead = "first: "
		}
		s.say("%s%s: %s: %s", lead, s.paint(red, f.What), clean(strings.TrimPrefix(f.Path, evidence.Folder)), clean(f.Detail))
	}
	switch code {
	case exitClean:
		s.say("%s: every record is as it was written, and every link holds", plural(out.Records, "record"))
	case exitDrift:
		s.say("%s, %s", plural(out.Records, "record"), plural(len(out.Faults), "fault"))
	default:
		s.say("there is no evidence in %s", clean(dir))
	}
	return ended(code)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
