package secretsmanager

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// broken words a broken constraint of the service model as AWS's front does.
// shown is the value as it stands in the message; "" for one that is sensitive.
func broken(member, shown, constraint string) error {
	if shown != "" {
		shown = " " + shown
	}
	return &wire.Error{Code: "ValidationException", Message: "1 validation error detected: Value" + shown +
		" at '" + member + "' failed to satisfy constraint: Member must " + constraint}
}

// length checks a member that may be absent.
func length(member string, value *string, least, most int) error {
	if value == nil {
		return nil
	}
	return within(member, "'"+*value+"'", utf8.RuneCountInString(*value), least, most)
}

// required checks a member that may not be absent.
func required(member string, value *string, least, most int) error {
	if value == nil {
		return broken(member, "null", "not be null")
	}
	return length(member, value, least, most)
}

func within(member, shown string, n, least, most int) error {
	switch {
	case n < least:
		return broken(member, shown, "have length greater than or equal to "+strconv.Itoa(least))
	case n > most:
		return broken(member, shown, "have length less than or equal to "+strconv.Itoa(most))
	default:
		return nil
	}
}

func between(member string, value *int32, least, most int32) error {
	switch {
	case value == nil:
		return nil
	case *value < least:
		return broken(member, fmt.Sprintf("'%d'", *value), fmt.Sprintf("have value greater than or equal to %d", least))
	case *value > most:
		return broken(member, fmt.Sprintf("'%d'", *value), fmt.Sprintf("have value less than or equal to %d", most))
	default:
		return nil
	}
}

// checkToken checks a ClientRequestToken. The SDKs always send one; without it
// RotateSecret answers with another code than the actions that write values.
func checkToken(token *string, code string) error {
	if token == nil {
		return &wire.Error{Code: code, Message: "You must provide a ClientRequestToken value. We recommend a UUID-type value."}
	}
	if n := utf8.RuneCountInString(*token); n < 32 || n > 64 {
		return badParameter("ClientRequestToken must be 32-64 characters long.")
	}
	return nil
}
