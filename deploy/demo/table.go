package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// table is rows of cells below a head. Columns are as wide as their widest
// cell; where the screen is narrower, those with a least width give way.
type table struct {
	head []column
	rows [][]cell
}

// column describes one column.
type column struct {
	title string
	least int  // how far it may shrink, in columns; 0 means not at all
	right bool // aligned at the right
}

// cell is text of one column per rune, and how it looks.
type cell struct {
	text  string
	style style
}

const gap = 2 // between columns

// add appends a row.
func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// show writes the table.
func (s *screen) show(t table) {
	widths := t.widths(s.width() - margin)
	head := make([]cell, len(t.head))
	for i, c := range t.head {
		head[i] = cell{c.title, dim}
	}
	s.line(s.row(t.head, head, widths))
	for _, r := range t.rows {
		s.line(s.row(t.head, r, widths))
	}
}

// widths shares out the columns of the screen: the widest column that can
// still shrink gives way first.
func (t *table) widths(total int) []int {
	widths := make([]int, len(t.head))
	used := gap * (len(t.head) - 1)
	for i, c := range t.head {
		widths[i] = utf8.RuneCountInString(c.title)
		for _, r := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i].text))
		}
		used += widths[i]
	}
	for ; used > total; used-- {
		widest := -1
		for i, c := range t.head {
			if c.least > 0 && widths[i] > c.least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break // too narrow for all of it: lines run over
		}
		widths[widest]--
	}
	return widths
}

func (s *screen) row(head []column, cells []cell, widths []int) string {
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", margin))
	last := lastFilled(cells)
	for i, c := range cells[:last+1] {
		text := cut(c.text, widths[i])
		space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
		switch {
		case head[i].right:
			b.WriteString(space + s.paint(c.style, text))
		case i == last:
			b.WriteString(s.paint(c.style, text))
		default:
			b.WriteString(s.paint(c.style, text) + space)
		}
		if i < last {
			b.WriteString(strings.Repeat(" ", gap))
		}
	}
	return b.String()
}

// lastFilled returns the index of the last cell with text, so that no line
// ends in spaces.
func lastFilled(cells []cell) int {
	for i, c := range slices.Backward(cells) {
		if c.text != "" {
			return i
		}
	}
	return -1
}
