package sns

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// row is one of testdata/filters.json, which moto is asked as well; where moto
// is wrong, the row says why.
type row struct {
	Name       string
	Policy     json.RawMessage
	Attributes map[string]struct{ Type, Value string }
	Body       json.RawMessage
	Want       bool
}

func TestFilters(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/filters.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			scope := scopeAttributes
			if r.Body != nil {
				scope = scopeBody
			}
			f, err := parseFilter(string(r.Policy), scope)
			if err != nil {
				t.Fatal(err)
			}
			attributes := map[string]Attribute{}
			for name, a := range r.Attributes {
				attributes[name] = Attribute{DataType: a.Type, StringValue: &a.Value}
			}
			if got := f.takes(attributes, string(r.Body)); got != r.Want {
				t.Errorf("takes the message: %t, want %t", got, r.Want)
			}
		})
	}
}

func TestParseFilterRefuses(t *testing.T) {
	t.Parallel()
	many := func(n int) string { return `["` + strings.Repeat(`x","`, n-1) + `x"]` }
	tests := []struct{ scope, text, want string }{
		{scopeAttributes, `{"key":[["value"]]}`, "FilterPolicy: Match value must be String, number, true, false, or null"},
		{scopeAttributes, `{"key":[{"wrong-operator":true}]}`, "FilterPolicy: Unrecognized match type wrong-operator"},
		{scopeAttributes, `{"key":[{"suffix":"value","prefix":"value2"}]}`, "FilterPolicy: Only one key allowed in match expression"},
		{scopeAttributes, `{"key":[]}`, "FilterPolicy: Empty arrays are not allowed"},
		{scopeAttributes, `{"key":[{"suffix":100}]}`, "FilterPolicy: suffix match pattern must be a string"},
		{scopeAttributes, `{"key":{"suffix":"value"}}`, `FilterPolicy: "suffix" must be an object or an array`},
		{scopeAttributes, `{"key_a":"value_one"}`, `FilterPolicy: "key_a" must be an object or an array`},
		{scopeAttributes, `{"key":[{"cidr":["bad-filter"]}]}`, "FilterPolicy: prefix match pattern must be a string"},
		{scopeAttributes, `{"key":[{"cidr":"bad-filter"}]}`, "FilterPolicy: Malformed CIDR, one '/' required"},
		{scopeAttributes, `{"key":[{"cidr":"xx.11.xx/8"}]}`, "FilterPolicy: Nonstandard IP address: xx.11.xx"},
		{scopeAttributes, `{"key":[{"cidr":"10.0.0.0/x"}]}`, "FilterPolicy: Malformed CIDR, mask bits must be an integer"},
		{scopeAttributes, `{"key":[{"numeric":[]}]}`, "FilterPolicy: Invalid member in numeric match: ]"},
		{scopeAttributes, `{"key":[{"numeric":["operator"]}]}`, "FilterPolicy: Unrecognized numeric range operator: operator"},
		{scopeAttributes, `{"key":[{"numeric":[1,"<="]}]}`, "FilterPolicy: Invalid member in numeric match: 1"},
		{scopeAttributes, `{"key":[{"numeric":["=","000"]}]}`, "FilterPolicy: Value of equals must be numeric"},
		{scopeAttributes, `{"key":[{"numeric":[">="]}]}`, "FilterPolicy: Value of >= must be numeric"},
		{scopeAttributes, `{"key":[{"numeric":["<",100,">",10]}]}`, "FilterPolicy: Too many elements in numeric expression"},
		{scopeAttributes, `{"key":[{"numeric":[">=",1,">",2]}]}`, "FilterPolicy: Bad numeric range operator: >"},
		{scopeAttributes, `{"key":[{"numeric":[">",3,"<",1]}]}`, "FilterPolicy: Bottom must be less than top"},
		{scopeAttributes, `{"key":[{"numeric":[">",20,"<="]}]}`, "FilterPolicy: Value of <= must be numeric"},
		{scopeAttributes, `{"key":[{"numeric":[">",20,30]}]}`, "FilterPolicy: Bad value in numeric range: 30"},
		{scopeAttributes, `{"key":[{"numeric":[">",20,"<",30,"<",50]}]}`, "FilterPolicy: Too many terms in numeric range expression"},
		{scopeAttributes, `{"key":[{"exists":"no"}]}`, "FilterPolicy: exists match pattern must be either true or false."},
		{scopeAttributes, `{"key":[{"anything-but":{"suffix":"test"}}]}`, "FilterPolicy: Unsupported anything-but pattern: suffix"},
		{scopeAttributes, `{"key":[{"anything-but":{"prefix":false}}]}`, "FilterPolicy: prefix match pattern must be a string"},
		{scopeAttributes, `{"key":{"a":["b"]}}`, "Filter policy scope MessageAttributes does not support nested filter policy"},
		{scopeAttributes, `{"key":` + many(151) + `}`, "FilterPolicy: Filter policy is too complex"},
		{scopeBody, `{"a":{"b":{"c":` + many(4) + `}},"d":{"e":` + many(3) + `},"f":` + many(3) + `}`, "FilterPolicy: Filter policy is too complex"},
		{scopeBody, `{"$or":[{"m":` + many(3) + `},{"n":` + many(2) + `}],"d":{"s":` + many(2) + `,"$or":[{"x":` + many(1) + `},{"y":` + many(3) + `}]}}`, "FilterPolicy: Filter policy is too complex"},
		{scopeAttributes, `{"a":["1"],"b":["1"],"c":["1"],"d":["1"],"e":["1"],"f":["1"]}`, "FilterPolicy: Filter policy can not have more than 5 keys"},
		{scopeBody, "invalid", "FilterPolicy: failed to parse JSON."},
	}
	for _, tt := range tests {
		if _, err := parseFilter(tt.text, tt.scope); err == nil || err.Error() != tt.want {
			t.Errorf("%.80s: error %v, want %s", tt.text, err, tt.want)
		}
	}
}

// The counts of AWS's own example: 72 combinations are no more than 150.
func TestCombinations(t *testing.T) {
	t.Parallel()
	f, err := parseFilter(`{"key_a":{"key_b":{"key_c":["1","2","3","4"]}},"key_d":{"key_e":["1","2","3"]}}`, scopeBody)
	if err != nil || f.rule.combinations(1) != 72 {
		t.Errorf("%v (%v), want 72 combinations", f, err)
	}
}
