package ssm_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/ssm"
)

func TestDocumentVersions(t *testing.T) {
	t.Parallel()
	nodes := fleet(1)
	l := start(t, nodes, ssm.Options{})
	one, two := document("", "echo one"), document("", "echo two")
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	d := l.make("Doc", one)
	if d.Status != types.DocumentStatusCreating || *d.Hash != hash(one) || d.HashType != "Sha256" || *d.DocumentVersion != "1" || *d.Owner != "111122223333" {
		t.Errorf("created as %s, %s, version %s of %s", d.Status, *d.Hash, *d.DocumentVersion, *d.Owner)
	}
	up, err := l.UpdateDocument(t.Context(), &awsssm.UpdateDocumentInput{Name: new("Doc"), Content: &two, DocumentVersion: new("$LATEST"), VersionName: new("second")})
	if err != nil {
		t.Fatal(err)
	}
	if d := up.DocumentDescription; *d.DocumentVersion != "2" || *d.DefaultVersion != "1" || *d.LatestVersion != "2" || *d.Hash != hash(two) {
		t.Errorf("updated to version %s, default %s, latest %s", *d.DocumentVersion, *d.DefaultVersion, *d.LatestVersion)
	}
	contents := func() map[string]string {
		got := map[string]string{}
		for _, v := range []string{"", "$DEFAULT", "$LATEST", "1", "2"} {
			in := &awsssm.GetDocumentInput{Name: new("Doc")}
			if v != "" {
				in.DocumentVersion = &v
			}
			out, err := l.GetDocument(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			got[v] = *out.DocumentVersion + " " + *out.Content
		}
		return got
	}
	if diff := cmp.Diff(map[string]string{"": "1 " + one, "$DEFAULT": "1 " + one, "$LATEST": "2 " + two, "1": "1 " + one, "2": "2 " + two}, contents()); diff != "" {
		t.Error(diff)
	}
	if _, err := l.UpdateDocumentDefaultVersion(t.Context(), &awsssm.UpdateDocumentDefaultVersionInput{Name: new("Doc"), DocumentVersion: new("2")}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"": "2 " + two, "$DEFAULT": "2 " + two, "$LATEST": "2 " + two, "1": "1 " + one, "2": "2 " + two}, contents()); diff != "" {
		t.Error("after the default moved:", diff)
	}
	list, err := l.ListDocumentVersions(t.Context(), &awsssm.ListDocumentVersionsInput{Name: new("Doc")})
	if err != nil || len(list.DocumentVersions) != 2 || !list.DocumentVersions[0].IsDefaultVersion {
		t.Errorf("versions are %v, %v", list, err)
	}
	in := shell(nodes...)
	in.DocumentName, in.Parameters, in.DocumentVersion, in.DocumentHash, in.DocumentHashType = new("Doc"), nil, new("1"), new(hash(one)), "Sha256"
	if c := l.send(in); *c.DocumentVersion != "1" {
		t.Errorf("command runs version %s", *c.DocumentVersion)
	}
	in.DocumentVersion = nil
	_, err = l.SendCommand(t.Context(), in)
	if got := failure(t, err); got != "InvalidDocument: The document hash does not match the content of document Doc." {
		t.Errorf("with the hash of another version: %s", got)
	}
}

func TestDocumentsRefuse(t *testing.T) {
	t.Parallel()
	l := start(t, nil, ssm.Options{})
	doc := document("", "true")
	l.make("Doc", doc)
	create := func(name, content string, kind types.DocumentType) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := l.CreateDocument(t.Context(), &awsssm.CreateDocumentInput{Name: &name, Content: &content, DocumentType: kind})
			return err
		}
	}
	update := func(name, content, version string) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := l.UpdateDocument(t.Context(), &awsssm.UpdateDocumentInput{Name: &name, Content: &content, DocumentVersion: &version})
			return err
		}
	}
	const pattern = `ValidationException: 1 validation error detected: Value '%' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9_\-.]{3,128}$`
	tests := []struct {
		name string
		do   func(*testing.T) error
		want string
	}{
		{"a name that is taken", create("Doc", doc, "Command"), "DocumentAlreadyExists: Document with same name Doc already exists"},
		{"a name that is AWS's", create("aws-Doc", doc, "Command"), "ValidationException: The document name prefix aws is reserved."},
		{"a short name", create("ab", doc, "Command"), strings.Replace(pattern, "%", "ab", 1)},
		{"no JSON", create("New", "{\n  \"schemaVersion\": }", "Command"), "InvalidDocumentContent: JSON not well-formed. at Line: 2, Column: 20"},
		{"a schema that is none", create("New", `{"schemaVersion":"9.9"}`, "Command"), "InvalidDocumentSchemaVersion: Unsupported schema version: 9.9"},
		{"no type", create("New", doc, ""), "InvalidDocumentSchemaVersion: Document type is required for schema version 2.2"},
		{"a parameter's name with an underscore", create("New", document(`"a_b":{"type":"String"}`, "true"), "Command"), `InvalidDocumentContent: Parameter name "a_b" is not alpha-numeric.`},
		{"a parameter that is not declared", create("New", document("", "docker inspect -f '{{else}}'"), "Command"), `InvalidDocumentContent: Parameter "else" is not declared.`},
		{"a pattern that is none", create("New", document(`"A":{"type":"String","allowedPattern":"("}`, "true"), "Command"),
			"InvalidDocumentContent: Parameter \"A\" has an allowedPattern that is not a regular expression: error parsing regexp: missing closing ): `^(?:()$`"},
		{"more than 64 KB", create("New", document("", strings.Repeat("#", 64<<10)), "Command"), "MaxDocumentSizeExceeded: The size limit of a document is 64 KB."},
		{"an update that changes nothing", update("Doc", doc, "$LATEST"),
			"DuplicateDocumentContent: The content of the association document matches another document. Change the content of the document and try again."},
		{"an update of a document that does not exist", update("None", doc, "$LATEST"), "InvalidDocument: Document with name None does not exist."},
		{"an update of AWS's document", update("AWS-RunShellScript", doc, "$LATEST"), "InvalidDocument: Documents owned by Amazon cannot be changed."},
		{"an update of a version that does not exist", update("Doc", doc, "9"), "InvalidDocumentVersion: Version 9 of document Doc does not exist."},
		{"deleting the default version", func(t *testing.T) error {
			_, err := l.DeleteDocument(t.Context(), &awsssm.DeleteDocumentInput{Name: new("Doc"), DocumentVersion: new("1")})
			return err
		}, "InvalidDocumentOperation: Default version of the document can't be deleted."},
		{"tags of a resource that does not exist", func(t *testing.T) error {
			_, err := l.ListTagsForResource(t.Context(), &awsssm.ListTagsForResourceInput{ResourceType: "Document", ResourceId: new("None")})
			return err
		}, "InvalidResourceId: "},
		{"an action that the lab does not have", func(t *testing.T) error {
			_, err := l.ListAssociations(t.Context(), &awsssm.ListAssociationsInput{})
			return err
		}, "UnknownOperationException: UnknownError"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, failure(t, tt.do(t))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestListDocuments(t *testing.T) {
	t.Parallel()
	l := start(t, nil, ssm.Options{})
	l.make("Doc", document("", "true"))
	if _, err := l.AddTagsToResource(t.Context(), &awsssm.AddTagsToResourceInput{ResourceType: "Document", ResourceId: new("Doc"), Tags: []types.Tag{{Key: new("Use"), Value: new("keys")}}}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		key, value, want string
	}{
		{"Owner", "Self", "Doc"}, {"Owner", "Amazon", "AWS-RunPowerShellScript AWS-RunShellScript"}, {"Name", "AWS-RunS", "AWS-RunShellScript"},
		{"PlatformTypes", "Windows", "AWS-RunPowerShellScript"}, {"tag:Use", "keys", "Doc"}, {"tag-key", "Use", "Doc"}, {"DocumentType", "Policy", ""},
	}
	for _, tt := range tests {
		t.Run(tt.key+" "+tt.value, func(t *testing.T) {
			t.Parallel()
			out, err := l.Client.ListDocuments(t.Context(), &awsssm.ListDocumentsInput{Filters: []types.DocumentKeyValuesFilter{{Key: &tt.key, Values: []string{tt.value}}}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range out.DocumentIdentifiers {
				got = append(got, *d.Name)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDeleteDocument(t *testing.T) {
	t.Parallel()
	l := start(t, nil, ssm.Options{})
	l.make("Doc", document("", "true"))
	if _, err := l.DeleteDocument(t.Context(), &awsssm.DeleteDocumentInput{Name: new("Doc")}); err != nil {
		t.Fatal(err)
	}
	_, err := l.DescribeDocument(t.Context(), &awsssm.DescribeDocumentInput{Name: new("Doc")})
	if got := failure(t, err); got != "InvalidDocument: Document with name Doc does not exist." {
		t.Error(got)
	}
}
