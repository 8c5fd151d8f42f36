package ssm

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// paginate returns the part of a list that a token and MaxResults ask for,
// and the token of what follows. A token names the query, which must be the
// same, and the last item that was handed out; where that is gone by now, its
// place in the list counts.
func paginate[T any](all []T, query string, token *string, limit *int32, most int, key func(T) string) (page []T, next *string, err error) {
	start := 0
	if token != nil && *token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(*token)
		part := strings.Split(string(raw), "\x00")
		if err != nil || len(part) != 3 || part[0] != query {
			return nil, nil, errNextToken()
		}
		start, err = strconv.Atoi(part[1])
		if err != nil {
			return nil, nil, errNextToken()
		}
		if i := slices.IndexFunc(all, func(v T) bool { return key(v) == part[2] }); i >= 0 {
			start = i + 1
		}
	}
	if limit != nil {
		most = int(*limit)
	}
	start = min(max(start, 0), len(all))
	end := min(start+most, len(all))
	if end < len(all) {
		t := base64.RawURLEncoding.EncodeToString([]byte(query + "\x00" + strconv.Itoa(end) + "\x00" + key(all[end-1])))
		next = &t
	}
	return all[start:end], next, nil
}
