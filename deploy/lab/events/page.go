package events

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const maxPage = 100

// paginate returns the part of a list that a token and a limit ask for, and the
// token of what follows. A token names the query, which must be the same.
func paginate[T any](all []T, query string, token *string, limit *int32) (page []T, next *string, err error) {
	if err := between("limit", limit, 1, maxPage); err != nil {
		return nil, nil, err
	}
	start, size := 0, maxPage
	if limit != nil {
		size = int(*limit)
	}
	if token != nil {
		raw, _ := base64.RawURLEncoding.DecodeString(*token)
		place, asked, _ := strings.Cut(string(raw), " ")
		if start, err = strconv.Atoi(place); err != nil || asked != query || start < 0 || start > len(all) {
			return nil, nil, badParameter("Parameter NextToken is not valid.")
		}
	}
	end := min(start+size, len(all))
	if end < len(all) {
		next = aws.String(base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", end, query)))
	}
	return all[start:end], next, nil
}
