package report

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/audit/evidence"
)

func asHTML(t testing.TB, r Report) []byte {
	return written(t, func(b *bytes.Buffer) error { return r.WriteHTML(b) })
}

func TestHTMLReadsAsItWasReviewed(t *testing.T) {
	golden(t, "october.html", asHTML(t, octoberReport(t)))
}

var (
	tag     = regexp.MustCompile(`<(/?)([a-z][a-z0-9]*)\b([^>]*)>`)
	id      = regexp.MustCompile(`\bid="([^"]*)"`)
	labels  = regexp.MustCompile(`\baria-labelledby="([^"]*)"`)
	anchors = regexp.MustCompile(`\bhref="([^"]*)"`)
)

// TestThePageIsWhole checks what readers by ear and keyboard rely on.
func TestThePageIsWhole(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Report{
		"some of everything": octoberReport(t), "nothing": Build(evidence.Archive{}, october31), "all well": Build(quiet(t, fleet(2)...), october31),
	} {
		text := string(asHTML(t, r))
		ids, open, level := map[string]bool{}, []string{}, 0
		for _, m := range tag.FindAllStringSubmatch(text[:strings.LastIndex(text, "<script>")], -1) {
			closing, element, attributes := m[1] == "/", m[2], m[3]
			switch element {
			case "meta", "link", "br", "input":
				continue
			}
			if strings.HasSuffix(attributes, "/") {
				continue
			}
			if closing {
				if n := len(open); n == 0 || open[n-1] != element {
					t.Fatalf("%s: </%s> closes %v", name, element, open)
				}
				open = open[:len(open)-1]
				continue
			}
			open = append(open, element)
			if len(element) == 2 && element[0] == 'h' && element[1] >= '1' && element[1] <= '6' {
				if now := int(element[1] - '0'); now > level+1 {
					t.Errorf("%s: a heading of level %d follows one of level %d", name, now, level)
				} else {
					level = now
				}
			}
			if element == "th" && !strings.Contains(attributes, "scope=") {
				t.Errorf("%s: a th has no scope", name)
			}
			if element == "svg" && !strings.Contains(attributes, `role="img"`) {
				t.Errorf("%s: a chart has no role", name)
			}
			if i := id.FindStringSubmatch(attributes); i != nil {
				if ids[i[1]] {
					t.Errorf("%s: two elements are %s", name, i[1])
				}
				ids[i[1]] = true
			}
		}
		for _, m := range labels.FindAllStringSubmatch(text, -1) {
			if !ids[m[1]] {
				t.Errorf("%s: nothing is called %s", name, m[1])
			}
		}
		for _, m := range anchors.FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(m[1], "#") || !ids[m[1][1:]] {
				t.Errorf("%s: a link leads to %s", name, m[1])
			}
		}
		if n, captions := strings.Count(text, "<table"), strings.Count(text, "<caption"); n != captions {
			t.Errorf("%s: %d tables have %d captions", name, n, captions)
		}
		for _, landmark := range []string{"<header>", "<main>", "<footer>", `<html lang="en">`} {
			if strings.Count(text, landmark) != 1 {
				t.Errorf("%s: %d times %s", name, strings.Count(text, landmark), landmark)
			}
		}
	}
}

func TestHostileTextIsTextOnAPage(t *testing.T) {
	t.Parallel()
	text := string(asHTML(t, hostileReport(t)))
	if strings.Contains(text, "<script>alert") || strings.Contains(text, "\u202e") || strings.Contains(text, "\x1b") {
		t.Error("a comment got into the page as it was")
	}
	if !strings.Contains(text, "&lt;script&gt;alert(1)&lt;/script&gt;") {
		t.Error("the comment is not in the page at all")
	}
	if n := strings.Count(text, "<script>"); n != 1 {
		t.Errorf("%d scripts", n)
	}
}

func TestALongListIsFoldedWithACount(t *testing.T) {
	t.Parallel()
	r := Build(spoil(quiet(t, fleet(1000)...), false, func(v *evidence.Verification) {
		for i := range v.Hosts {
			v.Hosts[i].Users = []evidence.User{{Name: "deploy", State: "missing"}}
		}
		v.Clean = false
	}), october31)
	text := string(asHTML(t, r))
	for _, want := range []string{"700 more, less severe or mended", "940 more accounts are", "and 999 more findings"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(string(asJSON(t, r)), `"state": "missing"`); n != 1001 { // and their count
		t.Errorf("JSON has %d of 1,000 hosts", n-1)
	}
}

// dom is what a browser makes of a page.
func dom(t *testing.T, page []byte) string {
	t.Helper()
	i := slices.IndexFunc(browsers[:], func(name string) bool { _, err := exec.LookPath(name); return err == nil })
	if i < 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("no browser is installed")
		}
		t.Skip("no browser is installed")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "report.html")
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), browsers[i], "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--dump-dom", "file://"+file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

var browsers = [...]string{"chromium", "chromium-browser", "google-chrome"}

// TestABrowserRunsTheScript does so under the page's own policy.
func TestABrowserRunsTheScript(t *testing.T) {
	got := dom(t, asHTML(t, octoberReport(t)))
	// The findings, and the hosts of one secret: all other tables are short.
	if n := strings.Count(got, `type="search"`); n != 2 {
		t.Errorf("%d filters", n)
	}
	if n := strings.Count(got, `<button type="button">`); n != 7+5 {
		t.Errorf("%d columns can be sorted", n)
	}
}

func TestABrowserFiltersAndSorts(t *testing.T) {
	page := asHTML(t, octoberReport(t))
	// The policy lets no other script run: this one replaces the end of the page's own, and the policy.
	page = regexp.MustCompile(`<meta http-equiv[^>]*>`).ReplaceAll(page, nil)
	page = bytes.Replace(page, []byte("</script>"), []byte(`
		const input = document.querySelector("input");
		input.value = "MENDED kt-5";
		input.dispatchEvent(new Event("input"));
		document.querySelectorAll("th button")[4].click();
		const all = [...document.querySelector("table.tool").tBodies[0].rows], left = all.filter(r => !r.hidden);
		const times = all.map(r => r.cells[4].textContent), sorted = [...times].sort();
		document.title = [left.length, left[0].cells[2].textContent, String(times) === String(sorted), document.querySelector("output").textContent].join("|");
		</script>`), 1)
	want := fmt.Sprintf("<title>1|KT-5|true|1 of %d</title>", len(octoberReport(t).Findings))
	if got := dom(t, page); !strings.Contains(got, want) {
		t.Errorf("not %s but %s", want, regexp.MustCompile("<title>.*</title>").FindString(got))
	}
}

func TestABrowserRunsNoOtherScript(t *testing.T) {
	page := bytes.Replace(asHTML(t, octoberReport(t)), []byte("</body>"), []byte(`<script>document.title = "run"</script><img src="x" onerror="document.title = 'run'"></body>`), 1)
	if got := dom(t, page); strings.Contains(got, "<title>run</title>") || !strings.Contains(got, "<title>SSH keys") {
		t.Error("the page's policy let another script run")
	}
}
