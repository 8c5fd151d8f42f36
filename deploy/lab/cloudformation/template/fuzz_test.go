package template_test

import (
	"errors"
	"os"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation/template"
)

// FuzzTemplate reads anything at all, and evaluates what can be read: the only
// errors are those that CloudFormation would answer.
func FuzzTemplate(f *testing.F) {
	every, err := os.ReadFile("../testdata/every.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(every)
	f.Add([]byte(`{"Resources": {"R": {"Type": "T", "Properties": {"a": {"Fn::Sub": ["${x}", {"x": {"Fn::If": ["C", "a", {"Ref": "AWS::NoValue"}]}}]}}}}, "Conditions": {"C": {"Fn::Equals": [["a"], {"b": "c"}]}}}`))
	f.Add([]byte("Rules: {R: {Assertions: [{Assert: !Contains [[a, [b]], !Ref P]}]}}\nParameters: {P: {Type: CommaDelimitedList, Default: a}}\nResources: {R: {Type: T, Properties: !If [x, y, z]}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		check := func(err error) bool {
			if _, ok := errors.AsType[template.Error](err); err != nil && !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return err == nil
		}
		parsed, err := template.Parse(text)
		if !check(err) {
			return
		}
		plan, err := parsed.Bind(nil, names)
		if !check(err) {
			return
		}
		for _, r := range plan.Resources() {
			_, err := plan.Properties(r.ID, look)
			check(err)
		}
		_, err = plan.Outputs(look)
		check(err)
	})
}
