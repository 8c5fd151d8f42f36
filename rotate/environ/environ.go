// Package environ reads configuration from environment variables, and reports all that is wrong with it
// together. Which names there are is each function's business.
package environ

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Reader reads names through one function, os.Getenv in a program, and collects what is wrong.
type Reader struct {
	getenv func(string) string
	errs   []error
}

// New returns a reader that has found nothing wrong yet.
func New(getenv func(string) string) *Reader { return &Reader{getenv: getenv} }

// Text returns a name's value, "" when it is unset.
func (r *Reader) Text(name string) string { return r.getenv(name) }

// Fail records what is wrong with a name.
func (r *Reader) Fail(name string, err error) {
	r.errs = append(r.errs, fmt.Errorf("%s: %w", name, err))
}

// Err joins all that was wrong.
func (r *Reader) Err() error {
	if len(r.errs) == 0 {
		return nil
	}
	return fmt.Errorf("read configuration: %w", errors.Join(r.errs...))
}

// Parse reads a name, or its default when it is unset or empty. What the parser refuses is recorded, and
// the zero value returned.
func Parse[T any](r *Reader, name, def string, parser func(string) (T, error)) T {
	text := r.getenv(name)
	if text == "" {
		text = def
	}
	value, err := parser(text)
	if err != nil {
		r.Fail(name, err)
		var zero T
		return zero
	}
	return value
}

// OneOf returns a parser that takes these words only.
func OneOf[T ~string](known ...T) func(string) (T, error) {
	return func(text string) (T, error) {
		for _, k := range known {
			if text == string(k) {
				return k, nil
			}
		}
		return "", fmt.Errorf("%q is not one of %q", text, known)
	}
}

// Bool reads true or false.
func Bool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, fmt.Errorf("%q is neither true nor false", text)
	}
	return strconv.ParseBool(text)
}

// Duration reads a duration of at least 0, such as 24h.
func Duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 24h", text)
	}
	return d, nil
}
