package ssm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Patterns of AWS's model.
const (
	instanceIDPattern      = `(^i-(\w{8}|\w{17})$)|(^mi-\w{17}$)`
	documentNamePattern    = `^[a-zA-Z0-9_\-.]{3,128}$`
	documentARNPattern     = `^[a-zA-Z0-9_\-.:/]{3,128}$`
	documentVersionPattern = `([$]LATEST|[$]DEFAULT|^[1-9][0-9]*$)`
	versionNamePattern     = `^[a-zA-Z0-9_\-.]{1,128}$`
	maxConcurrencyPattern  = `^([1-9][0-9]*|[1-9][0-9]%|[1-9]%|100%)$`
	maxErrorsPattern       = `^([1-9][0-9]*|[0]|[1-9][0-9]%|[0-9]%|100%)$`
)

var (
	instanceID      = regexp.MustCompile(instanceIDPattern)
	documentName    = regexp.MustCompile(documentNamePattern)
	documentARN     = regexp.MustCompile(documentARNPattern)
	documentVersion = regexp.MustCompile(documentVersionPattern)
	versionName     = regexp.MustCompile(versionNamePattern)
	maxConcurrency  = regexp.MustCompile(maxConcurrencyPattern)
	maxErrors       = regexp.MustCompile(maxErrorsPattern)
	commandID       = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

func isHybrid(id string) bool { return strings.HasPrefix(id, "mi-") }

// constraints collects what breaks the model of a request, and words it as
// the front of every AWS service does.
type constraints struct {
	broken []string
}

func (c *constraints) add(value, path, rule string) {
	c.broken = append(c.broken, "Value "+value+" at '"+path+"' failed to satisfy constraint: "+rule)
}

// err returns nil or one ValidationException for all that was found.
func (c *constraints) err() error {
	switch n := len(c.broken); n {
	case 0:
		return nil
	case 1:
		return errValidation("1 validation error detected: " + c.broken[0])
	default:
		return errValidation(fmt.Sprintf("%d validation errors detected: %s", n, strings.Join(c.broken, "; ")))
	}
}

func (c *constraints) required(path string, present bool) {
	if !present {
		c.add("null", path, "Member must not be null")
	}
}

func (c *constraints) length(path string, value *string, least, most int) {
	if value == nil {
		return
	}
	switch n := utf8.RuneCountInString(*value); {
	case n < least:
		c.add("'"+*value+"'", path, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	case n > most:
		c.add("'"+*value+"'", path, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
}

func (c *constraints) size(path string, list []string, least, most int) {
	value := "'[" + strings.Join(list, ", ") + "]'"
	switch n := len(list); {
	case list == nil:
	case n < least:
		c.add(value, path, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	case n > most:
		c.add(value, path, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
}

func (c *constraints) between(path string, value *int32, least, most int32) {
	if value == nil {
		return
	}
	switch quoted := fmt.Sprintf("'%d'", *value); {
	case *value < least:
		c.add(quoted, path, fmt.Sprintf("Member must have value greater than or equal to %d", least))
	case *value > most:
		c.add(quoted, path, fmt.Sprintf("Member must have value less than or equal to %d", most))
	}
}

func (c *constraints) pattern(path string, value *string, re *regexp.Regexp) {
	if value != nil && !re.MatchString(*value) {
		c.add("'"+*value+"'", path, "Member must satisfy regular expression pattern: "+re.String())
	}
}

// each is pattern for the members of a list.
func (c *constraints) each(path string, list []string, re *regexp.Regexp) {
	if slices.ContainsFunc(list, func(v string) bool { return !re.MatchString(v) }) {
		c.add("'["+strings.Join(list, ", ")+"]'", path, "Member must satisfy constraint: [Member must satisfy regular expression pattern: "+re.String()+"]")
	}
}

// enum checks a value against those of the model; "" is absent.
func enum[E ~string](c *constraints, path string, value E, known []E) {
	if value == "" || slices.Contains(known, value) {
		return
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	c.add("'"+string(value)+"'", path, "Member must satisfy enum value set: ["+strings.Join(names, ", ")+"]")
}
