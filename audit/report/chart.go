package report

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	svg "github.com/ajstarks/svgo/float"
)

// Charts have no text in them: it would shrink on a phone. What they show is said in words beside each, and shape
// and height tell what colour does.
const chartWidth = 640

// picture draws an inline SVG with a title for who cannot see it.
func picture(height float64, title string, draw func(*svg.SVG)) template.HTML {
	var b bytes.Buffer
	s := svg.New(&b)
	s.Decimals = 1
	s.Startraw(fmt.Sprintf(`viewBox="0 0 %d %g"`, chartWidth, height), `role="img"`, `class="chart"`)
	s.Title(title)
	draw(s)
	s.End()
	text := b.String()
	// A document of its own begins with what a page must not have.
	return template.HTML(text[max(0, strings.Index(text, "<svg")):])
}

func class(name string) string { return `class="` + name + `"` }

// timeLine shows the life of each key, how each rotation ended, and how each day was found.
func (r Report) timeLine(s Secret) template.HTML {
	length := r.To.Sub(r.From)
	x := func(t time.Time) float64 {
		return math.Round(10*min(1, max(0, float64(t.Sub(r.From))/float64(length)))*chartWidth) / 10
	}
	title := fmt.Sprintf("Time line: %s; of %s, %s clean", count(len(s.Rotations), "rotation", "rotations"),
		count(s.Verifications, "verification", "verifications"), number(s.Clean))
	const above, middle, floor = 8, 27, 68
	return picture(floor+2, title, func(c *svg.SVG) {
		before, odd := 0.0, false
		bar := func(to float64) {
			name := "life"
			if odd {
				name = "life odd"
			}
			if to > before {
				c.Rect(before, middle-4, to-before, 8, class(name))
			}
			before, odd = to, !odd
		}
		for _, rot := range s.Rotations {
			if rot.Outcome == "succeeded" || rot.Outcome == "unheard" {
				bar(x(rot.At))
			}
		}
		bar(chartWidth)
		r.drawDays(c, s, x, floor)
		c.Line(0, floor, chartWidth, floor, class("axis"))
		for _, rot := range s.Rotations {
			y := float64(middle)
			if rot.Outcome != "succeeded" && rot.Outcome != "unheard" {
				y = above // the one that succeeds soon after would hide it
			}
			mark(c, min(chartWidth-8, max(8, x(rot.At))), y, rot.Outcome)
		}
	})
}

// maxSlots is how many pieces of a time line can be told apart.
const maxSlots = 160

// drawDays draws runs of days that are alike: low where all was clean, full where something was wrong, half where
// something was not known. In a long period several days share a slot, and the worst of them shows.
func (r Report) drawDays(c *svg.SVG, s Secret, x func(time.Time) float64, floor float64) {
	first := r.From.Truncate(24 * time.Hour)
	slot := max(24*time.Hour, (r.To.Sub(first)/maxSlots + 24*time.Hour - 1).Truncate(24*time.Hour))
	worst := map[int]int{}
	last := -1
	for _, d := range s.Days {
		day, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			continue // of another report's JSON
		}
		last = int(day.Sub(first) / slot)
		worst[last] = max(worst[last], d.kind())
	}
	kinds := [...]struct {
		name   string
		height float64
	}{1: {"good", 6}, 2: {"unknown", 15}, 3: {"bad", 24}}
	for i := 0; i <= last; {
		kind, begin := worst[i], i
		for i++; i <= last && worst[i] == kind; i++ {
		}
		if kind > 0 {
			left, right := x(first.Add(time.Duration(begin)*slot)), x(first.Add(time.Duration(i)*slot))
			c.Rect(left, floor-kinds[kind].height, max(1, right-left), kinds[kind].height, class(kinds[kind].name))
		}
	}
}

// kind ranks a day: 1 clean, 2 not all known, 3 something wrong.
func (d Day) kind() int {
	switch {
	case d.Drift > 0:
		return 3
	case d.Clean < d.Verifications:
		return 2
	}
	return 1
}

// mark draws how a rotation ended: a disc, a ring where no event told of it, a cross where it failed.
func mark(c *svg.SVG, x, y float64, outcome string) {
	const r = 6
	switch outcome {
	case "succeeded":
		c.Circle(x, y, r, class("mark good"))
	case "unheard":
		c.Circle(x, y, r, class("mark ring"))
	default:
		c.Line(x-r+1, y-r+1, x+r-1, y+r-1, class("cross"))
		c.Line(x-r+1, y+r-1, x+r-1, y-r+1, class("cross"))
	}
}

// ageBar shows the age of a key against its limit.
func (k Key) ageBar() template.HTML {
	if k.LimitSeconds == 0 {
		return ""
	}
	full := float64(max(k.AgeSeconds, k.LimitSeconds)) * 1.02
	x := func(seconds int64) float64 { return float64(max(0, seconds)) / full * chartWidth }
	title := fmt.Sprintf("Age %s of at most %s", seconds(k.AgeSeconds), seconds(k.LimitSeconds))
	return picture(18, title, func(c *svg.SVG) {
		c.Rect(0, 6, chartWidth, 6, class("ground"))
		name := "good"
		if k.AgeSeconds > k.LimitSeconds {
			name = "bad"
		}
		c.Rect(0, 6, x(k.AgeSeconds), 6, class(name))
		c.Rect(x(k.LimitSeconds)-1.5, 0, 3, 18, class("limit"))
	})
}

// stateBar shows the accounts by state.
func (s Secret) stateBar() template.HTML {
	all := 0
	var words []string
	for _, n := range s.States {
		all += n.Accounts
		words = append(words, number(n.Accounts)+" "+n.State)
	}
	if all == 0 {
		return ""
	}
	return picture(18, "Accounts: "+strings.Join(words, ", "), func(c *svg.SVG) {
		const gap = 2
		at := 0.0
		for _, n := range s.States {
			width := max(4, float64(n.Accounts)/float64(all)*(chartWidth-gap*float64(len(s.States))))
			y, height := 2.0, 14.0
			if n.State == "ok" {
				y, height = 6, 6
			}
			c.Rect(at, y, width, height, class(stateClass(n.State)))
			at += width + gap
		}
	})
}

func stateClass(state string) string {
	switch {
	case state == "ok":
		return "good"
	case blindState(state):
		return "unknown"
	}
	return "bad"
}

func seconds(n int64) string { return span(time.Duration(n) * time.Second) }
