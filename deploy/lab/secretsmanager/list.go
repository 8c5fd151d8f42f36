package secretsmanager

import (
	"cmp"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// page returns the items that follow a token, at most limit of them (usual
// where it is 0), and the token for what follows. The token names the last
// item shown by its key, so that pages stay right while items come and go.
func page[T any](items []T, token *string, limit, usual int, key func(T) string) ([]T, *string, error) {
	if token != nil {
		last, err := base64.RawURLEncoding.DecodeString(*token)
		i := slices.IndexFunc(items, func(t T) bool { return key(t) == string(last) })
		if err != nil || i < 0 {
			return nil, nil, &wire.Error{Code: "InvalidNextTokenException", Message: "Invalid NextToken."} // our words
		}
		items = items[i+1:]
	}
	limit = cmp.Or(limit, usual)
	if len(items) <= limit {
		return items, nil, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte(key(items[limit-1])))
	return items[:limit], &next, nil
}

// newFilter returns what a list of filters lets through: all of them must
// match, each by any of its values. Values match as prefixes; one that begins
// with "!" matches what does not begin with the rest.
func newFilter(filters []types.Filter) (func(*secret) bool, error) {
	if err := within("filters", "", len(filters), 0, 10); err != nil {
		return nil, err
	}
	for i, f := range filters {
		at := "filters." + strconv.Itoa(i+1) + ".member."
		if !slices.Contains(f.Key.Values(), f.Key) {
			return nil, broken(at+"key", "'"+string(f.Key)+"'", "satisfy enum value set: [all, name, tag-key, description, tag-value, primary-region, owning-service]")
		}
		if len(f.Values) == 0 {
			return nil, badParameter("Invalid filter values for key: " + string(f.Key))
		}
		if err := within(at+"values", "", len(f.Values), 1, 10); err != nil {
			return nil, err
		}
	}
	return func(sec *secret) bool {
		return !slices.ContainsFunc(filters, func(f types.Filter) bool { return !matches(sec, f) })
	}, nil
}

func matches(sec *secret, f types.Filter) bool {
	return slices.ContainsFunc(f.Values, func(value string) bool {
		want, not := strings.CutPrefix(value, "!")
		return has(sec, f.Key, want) != not
	})
}

func has(sec *secret, key types.FilterNameStringType, want string) bool {
	switch key {
	case types.FilterNameStringTypeName:
		return strings.HasPrefix(sec.Name, want)
	case types.FilterNameStringTypeDescription:
		return sec.Description != nil && strings.HasPrefix(strings.ToLower(*sec.Description), strings.ToLower(want))
	case types.FilterNameStringTypeTagKey:
		return slices.ContainsFunc(sec.Tags, func(t types.Tag) bool { return strings.HasPrefix(*t.Key, want) })
	case types.FilterNameStringTypeTagValue:
		return slices.ContainsFunc(sec.Tags, func(t types.Tag) bool { return strings.HasPrefix(*t.Value, want) })
	case types.FilterNameStringTypeAll:
		return hasWords(sec, want)
	default: // primary-region and owning-service: the lab's secrets have neither
		return false
	}
}

// hasWords searches every attribute for each of the words, in any case.
func hasWords(sec *secret, want string) bool {
	var text []string
	text = append(text, sec.Name)
	if sec.Description != nil {
		text = append(text, *sec.Description)
	}
	for _, t := range sec.Tags {
		text = append(text, *t.Key, *t.Value)
	}
	all := strings.ToLower(strings.Join(text, "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(want)) {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}

func entryError(id string, err error) types.APIErrorType {
	entry := types.APIErrorType{SecretId: &id}
	if e, ok := errors.AsType[*wire.Error](err); ok {
		entry.ErrorCode, entry.Message = &e.Code, &e.Message
	}
	return entry
}
