package template_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation/template"
)

var names = template.Pseudo{
	Account: "111122223333", Region: "eu-central-1", StackName: "trail",
	StackID: "arn:aws:cloudformation:eu-central-1:111122223333:stack/trail/0a1b2c3d",
}

// look is a world in which every resource exists.
func look(id, attribute string) (string, error) {
	if attribute == "" {
		return "the-" + id, nil
	}
	return "the-" + id + "-" + attribute, nil
}

// bind reads a template and gives it its parameters.
func bind(text string, values map[string]string) (*template.Plan, error) {
	t, err := template.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return t.Bind(values, names)
}

// TestValues holds each function, in each of its forms, against what AWS
// documents of it.
func TestValues(t *testing.T) {
	t.Parallel()
	const head = `
Parameters:
  Name: {Type: String, Default: demo}
  Empty: {Type: String, Default: ""}
  Names: {Type: CommaDelimitedList, Default: "a, b,c"}
  Ports: {Type: List<Number>, Default: "80,443"}
Mappings:
  RegionMap:
    eu-central-1: {HVM64: ami-1, Zones: [x, y]}
Conditions:
  Holds: !Equals [!Ref Name, demo]
  Fails: !Not [Condition: Holds]
Resources:
  A: {Type: T::A::A}
  B:
    Type: T::B::B
    Properties:
      V: `
	for _, test := range []struct{ value, want string }{
		{`!Ref Name`, `"demo"`},
		{`{Ref: Name}`, `"demo"`},
		{`{"Ref": "Names"}`, `["a","b","c"]`},
		{`!Ref Ports`, `["80","443"]`},
		{`!Ref A`, `"the-A"`},
		{`!GetAtt A.Arn`, `"the-A-Arn"`},
		{`!GetAtt A.Endpoint.Port`, `"the-A-Endpoint.Port"`},
		{`!GetAtt [A, Arn]`, `"the-A-Arn"`},
		{`{"Fn::GetAtt": ["A", "Arn"]}`, `"the-A-Arn"`},
		{`{"Fn::GetAtt": "A.Arn"}`, `"the-A-Arn"`},
		{`!Ref AWS::AccountId`, `"111122223333"`},
		{`!Ref "AWS::Region"`, `"eu-central-1"`},
		{`!Sub "${AWS::Partition} ${AWS::URLSuffix} ${AWS::StackName} ${AWS::StackId}"`,
			`"aws amazonaws.com trail arn:aws:cloudformation:eu-central-1:111122223333:stack/trail/0a1b2c3d"`},
		{`!Ref AWS::NotificationARNs`, `[]`},
		{`[1, !Ref AWS::NoValue, 2]`, `[1,2]`},
		{`{x: 1, y: !Ref AWS::NoValue}`, `{"x":1}`},
		{`!If [Holds, a, b]`, `"a"`},
		{`!If [Fails, a, !Ref AWS::NoValue]`, `absent`},
		{`!If [Fails, !GetAtt A.Arn, {x: !Ref Name}]`, `{"x":"demo"}`},
		{`!Sub "arn:${AWS::Partition}:s3:::${Name}-${A}-${A.Arn}"`, `"arn:aws:s3:::demo-the-A-the-A-Arn"`},
		{`!Sub "${!Literal} ${ Name } $Name {Name}"`, `"${Literal} demo $Name {Name}"`},
		{`!Sub ["${x}-${Name}", {x: !Join ["", [a, !Ref Name]], Name: mine}]`, `"ademo-mine"`},
		{`!Join [":", [a, !Ref Name, 1, true]]`, `"a:demo:1:true"`},
		{`!Join ["", !Ref Names]`, `"abc"`},
		{`!Select [1, !Ref Names]`, `"b"`},
		{`!Select ["0", [x]]`, `"x"`},
		{`!Split ["|", "a||c|"]`, `["a","","c",""]`},
		{`!Select [2, !Split ["-", !Ref A]]`, `error: Template error: Fn::Select cannot select nonexistent value at index 2`},
		{`!FindInMap [RegionMap, !Ref "AWS::Region", HVM64]`, `"ami-1"`},
		{`!FindInMap [RegionMap, eu-central-1, Zones]`, `["x","y"]`},
		{`!FindInMap [RegionMap, us-east-1, HVM64]`, `error: Template error: Unable to get mapping for RegionMap::us-east-1::HVM64`},
		{`!FindInMap [Other, us-east-1, HVM64]`, `error: Template error: Mapping named 'Other' is not present in the 'Mappings' section of template.`},
		{`!Base64 abc`, `"YWJj"`},
		{`{"Fn::Base64": !Sub "${Name}"}`, `"ZGVtbw=="`},
		{`[2012-10-17, 012345678901, 1.50, yes, "yes", 'no', 1e3, ~x]`, `["2012-10-17","012345678901",1.50,true,"yes","no",1e3,"~x"]`},
		{`{StringEquals: {aws:SourceAccount: !Ref AWS::AccountId}, Condition: {Bool: {x: "false"}}}`,
			`{"Condition":{"Bool":{"x":"false"}},"StringEquals":{"aws:SourceAccount":"111122223333"}}`},
		{`!Join [":", a]`, "error: Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined."},
		{`!Sub ["${x}", {x: !Ref Names}]`, "error: Template error: variable x in Fn::Sub expression does not resolve to a string"},
		{`!Base64 [a]`, "error: Template error: every Fn::Base64 object must have a String-typed value."},
		{`!Select [x, [a]]`, "error: Template error: every Fn::Select object requires two parameters, the index and list"},
	} {
		t.Run(test.value, func(t *testing.T) {
			t.Parallel()
			plan, err := bind(head+test.value+"\n", nil)
			if err != nil {
				t.Fatal(err)
			}
			properties, err := plan.Properties("B", look)
			got := "absent"
			if v, ok := properties["V"]; ok {
				got = compact(v)
			}
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestConditions holds the functions of conditions against their tables of
// truth.
func TestConditions(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{
		`!Equals [!Ref Env, prod]`:                                       "true",
		`!Equals ["1", 1]`:                                               "true",
		`!Equals [!Ref Env, ""]`:                                         "false",
		`!Equals [!Join ["", [pr, od]], !Ref Env]`:                       "true",
		`!Equals [!Select [0, !Ref List], a]`:                            "true",
		`!Equals [!FindInMap [M, k, v], x]`:                              "true",
		`!Not [!Equals [a, b]]`:                                          "true",
		`!And [!Equals [a, a], !Equals [a, b]]`:                          "false",
		`!Or [!Equals [a, b], !Equals [a, a]]`:                           "true",
		`!And [Condition: Other, !Condition Other]`:                      "true",
		`!Or [!Not [{Condition: Other}], !Equals [!Ref AWS::Region, x]]`: "false",
		`!And [!Equals [a, a]]`:                                          "Template error: every Fn::And object requires a list of at least 2 and at most 10 boolean parameters.",
		`!Not [!Equals [a, a], !Equals [a, a]]`:                          "Template error: every Fn::Not object requires one boolean parameter.",
		`!Equals [a]`:                                                    "Template error: every Fn::Equals object requires a list of 2 string parameters.",
		`!Equals [!Ref R, a]`:                                            "Template format error: Unresolved dependencies [R]. Cannot reference resources in the Conditions block of the template",
		`!Condition Missing`:                                             "Template format error: Unresolved condition dependency Missing in the Conditions block of the template",
		`!Condition C`:                                                   "Template format error: Circular dependency of the condition C",
		`!If [Other, a, b]`:                                              "Template format error: the function Fn::If is not known here",
		`yes`:                                                            "Template format error: Every Conditions member must be an intrinsic function of conditions.",
	} {
		t.Run(condition, func(t *testing.T) {
			t.Parallel()
			plan, err := bind(`
Parameters: {Env: {Type: String, Default: prod}, List: {Type: CommaDelimitedList, Default: a}}
Mappings: {M: {k: {v: x}}}
Conditions:
  C: `+condition+`
  Other: !Equals [a, a]
Resources:
  R: {Type: T, Condition: C}
  Always: {Type: T}
`, nil)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = fmt.Sprint(len(plan.Resources()) == 2)
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestParameters refuses values in CloudFormation's words.
func TestParameters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, parameter, value, want string }{
		{"a value that is allowed", "{Type: String, AllowedValues: [dev, prod]}", "prod", ""},
		{"a value that is not", "{Type: String, AllowedValues: [dev, prod]}", "Prod", "Parameter 'P' must be one of AllowedValues"},
		{"numbers are allowed values", "{Type: Number, AllowedValues: [1, 2]}", "2", ""},
		{"a pattern is of the whole value", "{Type: String, AllowedPattern: '[a-z]+'}", "abc1", "Parameter 'P' must match pattern [a-z]+"},
		{"a pattern with a description", "{Type: String, AllowedPattern: '[a-z]+', ConstraintDescription: must be small}", "A", "Parameter P failed to satisfy constraint: must be small"},
		{"too short", "{Type: String, MinLength: 8}", "short", "Parameter 'P' must contain at least 8 characters"},
		{"too long", "{Type: String, MaxLength: '3'}", "äöüß", "Parameter 'P' must contain at most 3 characters"},
		{"characters, not bytes", "{Type: String, MaxLength: 4}", "äöüß", ""},
		{"no number", "{Type: Number}", "ten", "Parameter 'P' must be a number"},
		{"a number in words of Go", "{Type: Number}", "0x10", "Parameter 'P' must be a number"},
		{"too small", "{Type: Number, MinValue: 1}", "0", "Parameter 'P' must be a number not less than 1"},
		{"too large", "{Type: Number, MaxValue: 10}", "10.5", "Parameter 'P' must be a number not greater than 10"},
		{"each member of a list", "{Type: CommaDelimitedList, AllowedPattern: 'sg-[0-9]+'}", "sg-1, sg-x", "Parameter 'P' must match pattern sg-[0-9]+"},
		{"ids are strings", "{Type: 'List<AWS::EC2::Subnet::Id>'}", "subnet-1,subnet-2", ""},
		{"a default that breaks its own rule", "{Type: Number, Default: x}", "1", "Parameter 'P' must be a number"},
		{"a type that does not exist", "{Type: Strng}", "", "Template format error: Unrecognized parameter type: Strng"},
		{"a key that does not exist", "{Type: String, Alowed: [x]}", "", "Invalid template parameter property 'Alowed'"},
		{"a type of Parameter Store", "{Type: 'AWS::SSM::Parameter::Value<String>'}", "", "Template format error: Unrecognized parameter type: AWS::SSM::Parameter::Value<String>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := bind("Parameters: {P: "+test.parameter+"}\nResources: {R: {Type: T}}", map[string]string{"P": test.value})
			if got := message(err); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
	_, err := bind("Parameters: {B: {Type: String}, A: {Type: String}}\nResources: {R: {Type: T}}", nil)
	if got, want := message(err), "Parameters: [A, B] must have values"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err = bind("Parameters: {A: {Type: String}}\nResources: {R: {Type: T}}", map[string]string{"A": "", "Z": "", "Y": ""})
	if got, want := message(err), "Parameters: [Y, Z] do not exist in the template"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestUnsound refuses, by name, whatever is not known or not there.
func TestUnsound(t *testing.T) {
	t.Parallel()
	const good = "Resources: {R: {Type: T, Properties: {}}}\n"
	for text, want := range map[string]string{
		"":                                    "Template format error: YAML not well-formed. (the template is empty)",
		"{\"Resources\": {":                   "Template format error: JSON not well-formed.",
		"a: [":                                "Template format error: YAML not well-formed.",
		"[]":                                  "Template format error: unsupported structure.",
		"Parameters: {}":                      "Template format error: At least one Resources member must be defined.",
		"Resorces: {}\n" + good:               "Invalid template property or properties [Resorces]",
		"Transform: AWS::Serverless\n" + good: "Invalid template property or properties [Transform]",
		"AWSTemplateFormatVersion: 2010-09-10\n" + good:                    "Template format error: unsupported value for AWSTemplateFormatVersion.",
		"Resources: {R_1: {Type: T}}":                                      "Template format error: Resource name R_1 is non alphanumeric.",
		"Resources: {R: {Properties: {}}}":                                 "Template format error: [/Resources/R] Every Resources object must contain a Type member.",
		"Resources: {R: {Type: T, Propertes: {}}}":                         "Invalid template resource property 'Propertes'",
		"Resources: {R: {Type: T, CreationPolicy: {}}}":                    "Invalid template resource property 'CreationPolicy'",
		"Resources: {R: {Type: T, DeletionPolicy: Keep}}":                  "Template format error: Unrecognized DeletionPolicy Keep for resource R",
		"Resources: {R: {Type: T}, R: {Type: U}}":                          "Template format error: line 1: the key R is there twice",
		"Resources: {R: {Type: T, Properties: {a: }}}":                     "Template format error: [/Resources/R/Properties/a] 'null' values are not allowed in templates",
		"Resources: {R: {Type: T, Properties: {a: &x 1, b: *x}}}":          "Template error: YAML aliases are not allowed in CloudFormation templates",
		"Resources: {R: {Type: T, Properties: {a: !Reff x}}}":              "Template format error: line 1: !Reff is no function",
		"Resources: {R: {Type: T, Properties: {a: !Cidr x}}}":              "Template format error: line 1: !Cidr is no function",
		"Resources: {R: {Type: T, Properties: {a: {Fn::Jn: x}}}}":          "Template format error: the function Fn::Jn is not known here",
		"Resources: {R: {Type: T, Properties: {a: {Fn::Equals: [a, a]}}}}": "Template format error: the function Fn::Equals is not known here",
		"Resources: {R: {Type: T, Properties: {a: {Ref: R, b: c}}}}":       "Template format error: Ref stands beside other keys",
		"Resources: {R: {Type: T, Properties: {a: !Ref X}}}":               "Template format error: Unresolved resource dependencies [X] in the Resources block of the template",
		"Resources: {R: {Type: T, Properties: {a: !Sub '${X.Arn}'}}}":      "Template format error: Unresolved resource dependencies [X] in the Resources block of the template",
		"Resources: {R: {Type: T, Properties: {a: !Sub '${a b}'}}}":        "Template error: variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, and colons",
		"Resources: {R: {Type: T, Properties: {a: !GetAtt R}}}":            "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute",
		"Resources: {R: {Type: T, DependsOn: X}}":                          "Template format error: Unresolved resource dependencies [X] in the Resources block of the template",
		"Resources: {R: {Type: T, Condition: C}}":                          "Template format error: Unresolved condition dependency C in the Resources block of the template",
		"Resources: {R: {Type: T, Properties: {a: !If [C, a, b]}}}":        "Template format error: Unresolved condition dependency C in the Resources block of the template",
		"Resources: {R: {Type: T, Properties: {a: '{{resolve:ssm:x}}'}}}":  "Template format error: dynamic references are not known here: {{resolve:ssm:x}}",
		"Outputs: {O: {Value: !Ref X}}\n" + good:                           "Template format error: Unresolved resource dependencies [X] in the Outputs block of the template",
		"Outputs: {O: {Valu: x}}\n" + good:                                 "Invalid template output property 'Valu'",
		"Resources: {A: {Type: T, DependsOn: B}, B: {Type: T, Properties: {x: !GetAtt C.Arn}}, C: {Type: T, Properties: {x: !Sub '${A}'}}, D: {Type: T, DependsOn: A}, E: {Type: T}}": "Circular dependency between resources: [A, B, C]",
		"Resources: {A: {Type: T, Properties: {x: !Ref A}}}":                                                                      "Circular dependency between resources: [A]",
		"Conditions: {Fails: !Equals [a, b]}\nResources: {A: {Type: T, Condition: Fails}, B: {Type: T, Properties: {x: !Ref A}}}": "Template format error: Unresolved resource dependencies [A] in the Resources block of the template",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			_, err := bind(text, nil)
			if got := message(err); !strings.HasPrefix(got, want) || got == "" {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if _, ok := errors.AsType[template.Error](err); !ok {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

// TestOrder makes what is needed first, and says why.
func TestOrder(t *testing.T) {
	t.Parallel()
	plan, err := bind(`
Conditions: {Fails: !Equals [a, b]}
Resources:
  A: {Type: T, Properties: {x: !GetAtt C.Arn}}
  B: {Type: T, DependsOn: [A, Gone], DeletionPolicy: Retain}
  C: {Type: T, Properties: {x: !If [Fails, !Ref Gone, !Sub "${D}"]}}
  D: {Type: T}
  Gone: {Type: T, Condition: Fails}
Outputs:
  Which: {Value: !Sub "${A.Arn}", Description: d, Export: {Name: !Sub "${AWS::StackName}-which"}}
  Not: {Value: !Ref Gone, Condition: Fails}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range plan.Resources() {
		got = append(got, fmt.Sprint(r.ID, r.DependsOn, r.DeletionPolicy))
	}
	if diff := cmp.Diff([]string{"D[]Delete", "C[D]Delete", "A[C]Delete", "B[A]Retain"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"A": {"Arn"}, "C": {"Arn"}}, plan.Attributes()); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	outputs, err := plan.Outputs(look)
	if err != nil {
		t.Fatal(err)
	}
	want := []template.Output{{Key: "Which", Value: "the-A-Arn", Description: "d", ExportName: "trail-which"}}
	if diff := cmp.Diff(want, outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}

// TestRules refuses parameters that do not go together.
func TestRules(t *testing.T) {
	t.Parallel()
	const text = `
Parameters:
  Vpc: {Type: String, Default: ""}
  Subnets: {Type: CommaDelimitedList, Default: ""}
Rules:
  SubnetsNeedVpc:
    RuleCondition: !Not [!Equals [!Join ["", !Ref Subnets], ""]]
    Assertions:
      - Assert: !Not [!Equals [!Ref Vpc, ""]]
        AssertDescription: Subnets need a Vpc.
      - Assert: {"Fn::EachMemberIn": [!Ref Subnets, [s-1, s-2]]}
        AssertDescription: Only the first two subnets.
Resources: {R: {Type: T}}
`
	for _, test := range []struct{ vpc, subnets, want string }{
		{"", "", ""},
		{"v", "s-1,s-2", ""},
		{"", "s-1", "Rule SubnetsNeedVpc failed: Subnets need a Vpc."},
		{"v", "s-1,s-3", "Rule SubnetsNeedVpc failed: Only the first two subnets."},
	} {
		_, err := bind(text, map[string]string{"Vpc": test.vpc, "Subnets": test.subnets})
		if got := message(err); got != test.want {
			t.Errorf("vpc %q, subnets %q: got %q, want %q", test.vpc, test.subnets, got, test.want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// compact writes a tree in JSON, numbers with the digits they had.
func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
