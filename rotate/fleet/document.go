package fleet

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

//go:embed host.sh
var script string

// Script returns the host script. It reads the variables SSM_* that the lines before it set.
func Script() string { return script }

// document is an SSM document of schema 2.2.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-schemas-features.html
type document struct {
	SchemaVersion string                       `json:"schemaVersion"`
	Description   string                       `json:"description"`
	Parameters    map[string]documentParameter `json:"parameters"`
	MainSteps     []documentStep               `json:"mainSteps"`
}

type documentParameter struct {
	Type              string `json:"type"`
	Description       string `json:"description"`
	AllowedPattern    string `json:"allowedPattern"`
	MaxChars          int    `json:"maxChars,omitempty"`
	Default           string `json:"default,omitempty"`
	InterpolationType string `json:"interpolationType,omitempty"`
}

type documentStep struct {
	Action       string              `json:"action"`
	Name         string              `json:"name"`
	Precondition map[string][]string `json:"precondition"`
	Inputs       struct {
		TimeoutSeconds string   `json:"timeoutSeconds"`
		RunCommand     []string `json:"runCommand"`
	} `json:"inputs"`
}

// Document returns the SSM document for one action, the same bytes each time. The action is part of
// the document and no parameter: the inspect document never changes a host.
//
// Agents since 3.3.2746.0 pass parameters as environment variables; older ones paste them into the
// text, which the patterns make harmless.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-creating-content.html
func Document(action Action) []byte {
	d := document{
		SchemaVersion: "2.2",
		Description:   "Keytrail: " + map[Action]string{Apply: "bring", Inspect: "compare"}[action] + " the SSH keys of users to what their secret says",
		Parameters: map[string]documentParameter{
			"ExecutionTimeout": {Type: "String", Description: "Seconds that the script may take.", AllowedPattern: "^[1-9][0-9]{0,4}$", Default: "60"},
		},
	}
	step := documentStep{
		Action:       "aws:runShellScript",
		Name:         "keytrail",
		Precondition: map[string][]string{"StringEquals": {"platformType", "Linux"}},
	}
	step.Inputs.TimeoutSeconds = "{{ ExecutionTimeout }}"
	step.Inputs.RunCommand = []string{"SSM_Action='" + string(action) + "'"}
	for _, p := range parameters {
		d.Parameters[p.name] = documentParameter{
			Type: "String", Description: p.about, AllowedPattern: p.anchored(), MaxChars: p.maxChars, InterpolationType: "ENV_VAR",
		}
		step.Inputs.RunCommand = append(step.Inputs.RunCommand, "SSM_"+p.name+"=${SSM_"+p.name+"-'{{ "+p.name+" }}'}")
	}
	step.Inputs.RunCommand = append(step.Inputs.RunCommand, script)
	d.MainSteps = []documentStep{step}

	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // the limit of 64 KB counts every character
	if err := encoder.Encode(d); err != nil {
		panic(fmt.Sprintf("encode document: %v", err)) // strings and maps of strings always encode
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// Hash returns the SHA-256 by which SendCommand pins a document.
func Hash(document []byte) string {
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:])
}
