package ssm

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Limits of documents.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-creating-content.html
const (
	maxDocumentSize     = 64 << 10 // content and run-time values together
	maxDocumentVersions = 1000
	documentPage        = 50
)

var (
	//go:embed AWS-RunShellScript.json
	runShellScript string
	//go:embed AWS-RunPowerShellScript.json
	runPowerShellScript string
)

// document is an SSM document with all its versions.
type document struct {
	name           string
	owner          string
	created        time.Time
	tags           map[string]string
	versions       []*documentRevision // oldest first
	defaultVersion int
	last           int // number of the newest version there ever was
}

// documentRevision is one version of a document; it never changes.
type documentRevision struct {
	number  int
	name    string // VersionName
	display string
	target  string
	text    string
	hash    string
	created time.Time
	*content
}

func (s *Service) addBuiltIns() {
	for name, text := range map[string]string{"AWS-RunShellScript": runShellScript, "AWS-RunPowerShellScript": runPowerShellScript} {
		c, err := parseContent(text)
		if err != nil {
			panic(err) // the files are part of this package
		}
		d := &document{name: name, owner: "Amazon", created: s.started, tags: map[string]string{}}
		d.add(&documentRevision{text: text, created: s.started, content: c})
		d.defaultVersion = d.last
		s.documents[name] = d
	}
}

func (d *document) add(v *documentRevision) {
	d.last++
	v.number = d.last
	sum := sha256.Sum256([]byte(v.text))
	v.hash = hex.EncodeToString(sum[:])
	d.versions = append(d.versions, v)
}

func (d *document) latest() *documentRevision { return d.versions[len(d.versions)-1] }

// revision finds a version by number, $LATEST, $DEFAULT or "", or by its name.
func (d *document) revision(version, versionName *string) (*documentRevision, error) {
	want := "$DEFAULT"
	if version != nil && *version != "" {
		want = *version
	}
	for _, v := range d.versions {
		switch {
		case versionName != nil && *versionName != "":
			if v.name == *versionName {
				return v, nil
			}
		case want == "$LATEST" && v == d.latest(), want == "$DEFAULT" && v.number == d.defaultVersion, want == strconv.Itoa(v.number):
			return v, nil
		}
	}
	if versionName != nil && *versionName != "" {
		want = *versionName
	}
	return nil, errDocumentVersion(d.name, want)
}

// document finds a document by its name or ARN.
func (s *Service) document(nameOrARN string) (*document, error) {
	name := nameOrARN
	if rest, ok := strings.CutPrefix(name, "arn:aws:ssm:"+s.options.Region+":"); ok {
		owner, path, _ := strings.Cut(rest, ":")
		name = strings.TrimPrefix(path, "document/")
		if d := s.documents[name]; d == nil || s.documentARN(d) != nameOrARN && owner != s.options.Account {
			return nil, errNoDocument(nameOrARN)
		}
	}
	d := s.documents[name]
	if d == nil {
		return nil, errNoDocument(nameOrARN)
	}
	return d, nil
}

// documentARN returns the ARN as policies name it: AWS's own documents have no
// account.
func (s *Service) documentARN(d *document) string {
	account := s.options.Account
	if d.owner == "Amazon" {
		account = ""
	}
	return "arn:aws:ssm:" + s.options.Region + ":" + account + ":document/" + d.name
}

// owned finds a document that the caller may change.
func (s *Service) owned(name string) (*document, error) {
	d, err := s.document(name)
	if err == nil && d.owner == "Amazon" {
		return nil, errDocument("Documents owned by Amazon cannot be changed.")
	}
	return d, err
}

func (s *Service) createDocument(_ wire.Identity, in *awsssm.CreateDocumentInput) (*awsssm.CreateDocumentOutput, error) {
	c := &constraints{}
	c.required("content", in.Content != nil)
	c.length("content", in.Content, 1, maxDocumentSize)
	c.required("name", in.Name != nil)
	c.pattern("name", in.Name, documentName)
	c.pattern("versionName", in.VersionName, versionName)
	enum(c, "documentType", in.DocumentType, in.DocumentType.Values())
	enum(c, "documentFormat", in.DocumentFormat, in.DocumentFormat.Values())
	if in.Content != nil && len(*in.Content) > maxDocumentSize {
		return nil, errDocumentSize()
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	lower := strings.ToLower(*in.Name)
	for _, reserved := range []string{"aws", "amazon", "amzn"} {
		if strings.HasPrefix(lower, reserved) {
			return nil, errValidation("The document name prefix " + reserved + " is reserved.")
		}
	}
	parsed, err := s.parse(*in.Content, in.DocumentFormat)
	if err != nil {
		return nil, err
	}
	if in.DocumentType == "" && parsed.schema != "1.2" {
		return nil, errSchemaVersion("Document type is required for schema version " + parsed.schema) // recorded
	}
	if in.DocumentType != "" && in.DocumentType != types.DocumentTypeCommand {
		return nil, errValidation("The lab has documents of type Command only.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.documents[*in.Name] != nil {
		return nil, errDocumentExists(*in.Name)
	}
	now := s.options.Now()
	d := &document{name: *in.Name, owner: s.options.Account, created: now, tags: map[string]string{}, defaultVersion: 1}
	for _, t := range in.Tags {
		d.tags[deref(t.Key)] = deref(t.Value)
	}
	v := &documentRevision{name: deref(in.VersionName), display: deref(in.DisplayName), target: deref(in.TargetType), text: *in.Content, created: now, content: parsed}
	d.add(v)
	s.documents[d.name] = d
	out := d.describe(v)
	out.Status = types.DocumentStatusCreating // ready by the time anyone can ask again
	return &awsssm.CreateDocumentOutput{DocumentDescription: out}, nil
}

func (s *Service) parse(text string, format types.DocumentFormat) (*content, error) {
	if format != "" && format != types.DocumentFormatJson {
		return nil, errValidation("The lab reads documents in JSON only.")
	}
	return parseContent(text)
}

func (s *Service) updateDocument(_ wire.Identity, in *awsssm.UpdateDocumentInput) (*awsssm.UpdateDocumentOutput, error) {
	c := &constraints{}
	c.required("content", in.Content != nil)
	c.required("name", in.Name != nil)
	c.pattern("name", in.Name, documentName)
	c.pattern("documentVersion", in.DocumentVersion, documentVersion)
	c.pattern("versionName", in.VersionName, versionName)
	if in.Content != nil && len(*in.Content) > maxDocumentSize {
		return nil, errDocumentSize()
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	parsed, err := s.parse(*in.Content, in.DocumentFormat)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.owned(*in.Name)
	if err != nil {
		return nil, err
	}
	// Only the latest version can be updated; without a version AWS takes the
	// default one, and refuses when that is not the latest.
	if v, err := d.revision(in.DocumentVersion, nil); err != nil {
		return nil, err
	} else if v != d.latest() {
		return nil, errDocumentVersion(d.name, strconv.Itoa(v.number))
	}
	v := &documentRevision{name: deref(in.VersionName), display: deref(in.DisplayName), target: deref(in.TargetType), text: *in.Content, created: s.options.Now(), content: parsed}
	for _, old := range d.versions {
		switch {
		case old.text == v.text:
			return nil, errSameContent()
		case v.name != "" && old.name == v.name:
			return nil, errSameVersionName()
		}
	}
	if len(d.versions) == maxDocumentVersions {
		return nil, &wire.Error{Code: "DocumentVersionLimitExceeded", Message: "The document has too many versions. Delete one or more document versions and try again."}
	}
	d.add(v)
	out := d.describe(v)
	out.Status = types.DocumentStatusUpdating
	return &awsssm.UpdateDocumentOutput{DocumentDescription: out}, nil
}

func (s *Service) updateDocumentDefaultVersion(_ wire.Identity, in *awsssm.UpdateDocumentDefaultVersionInput) (*awsssm.UpdateDocumentDefaultVersionOutput, error) {
	c := &constraints{}
	c.required("name", in.Name != nil)
	c.pattern("name", in.Name, documentName)
	c.required("documentVersion", in.DocumentVersion != nil)
	if err := c.err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.owned(*in.Name)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(*in.DocumentVersion, "$") {
		return nil, errDocumentVersion(d.name, *in.DocumentVersion)
	}
	v, err := d.revision(in.DocumentVersion, nil)
	if err != nil {
		return nil, err
	}
	d.defaultVersion = v.number
	return &awsssm.UpdateDocumentDefaultVersionOutput{Description: &types.DocumentDefaultVersionDescription{
		Name: &d.name, DefaultVersion: new(strconv.Itoa(v.number)), DefaultVersionName: optional(v.name),
	}}, nil
}

// find is the common part of DescribeDocument and GetDocument.
func (s *Service) find(name, version, label *string) (*document, *documentRevision, error) {
	c := &constraints{}
	c.required("name", name != nil)
	c.pattern("name", name, documentARN)
	c.pattern("documentVersion", version, documentVersion)
	c.pattern("versionName", label, versionName)
	if err := c.err(); err != nil {
		return nil, nil, err
	}
	d, err := s.document(*name)
	if err != nil {
		return nil, nil, err
	}
	v, err := d.revision(version, label)
	return d, v, err
}

func (s *Service) describeDocument(_ wire.Identity, in *awsssm.DescribeDocumentInput) (*awsssm.DescribeDocumentOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, v, err := s.find(in.Name, in.DocumentVersion, in.VersionName)
	if err != nil {
		return nil, err
	}
	return &awsssm.DescribeDocumentOutput{Document: d.describe(v)}, nil
}

func (d *document) describe(v *documentRevision) *types.DocumentDescription {
	out := &types.DocumentDescription{
		Name:            &d.name,
		Owner:           &d.owner,
		CreatedDate:     &v.created,
		Hash:            &v.hash,
		HashType:        types.DocumentHashTypeSha256,
		Status:          types.DocumentStatusActive,
		DocumentVersion: new(strconv.Itoa(v.number)),
		DefaultVersion:  new(strconv.Itoa(d.defaultVersion)),
		LatestVersion:   new(strconv.Itoa(d.latest().number)),
		Description:     &v.description,
		Parameters:      v.content.describe(),
		PlatformTypes:   v.platforms(),
		DocumentType:    types.DocumentTypeCommand,
		DocumentFormat:  types.DocumentFormatJson,
		SchemaVersion:   &v.schema,
		Tags:            tagList(d.tags),
		VersionName:     optional(v.name),
		DisplayName:     optional(v.display),
		TargetType:      optional(v.target),
	}
	return out
}

func (s *Service) getDocument(_ wire.Identity, in *awsssm.GetDocumentInput) (*awsssm.GetDocumentOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, v, err := s.find(in.Name, in.DocumentVersion, in.VersionName)
	if err != nil {
		return nil, err
	}
	if in.DocumentFormat != "" && in.DocumentFormat != types.DocumentFormatJson {
		return nil, errValidation("The lab has documents in JSON only.")
	}
	return &awsssm.GetDocumentOutput{
		Name: &d.name, DocumentVersion: new(strconv.Itoa(v.number)), VersionName: optional(v.name), Status: types.DocumentStatusActive,
		Content: &v.text, CreatedDate: &v.created, DocumentType: types.DocumentTypeCommand, DocumentFormat: types.DocumentFormatJson,
	}, nil
}

func (s *Service) listDocuments(_ wire.Identity, in *awsssm.ListDocumentsInput) (*awsssm.ListDocumentsOutput, error) {
	c := &constraints{}
	c.between("maxResults", in.MaxResults, 1, documentPage)
	if err := c.err(); err != nil {
		return nil, err
	}
	filters := in.Filters
	for _, f := range in.DocumentFilterList {
		key := string(f.Key)
		filters = append(filters, types.DocumentKeyValuesFilter{Key: &key, Values: []string{deref(f.Value)}})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*document
	for _, name := range slices.Sorted(maps.Keys(s.documents)) {
		d := s.documents[name]
		all := true
		for _, f := range filters {
			ok, err := d.matches(f, s.options.Account)
			if err != nil {
				return nil, err
			}
			all = all && ok
		}
		if all {
			found = append(found, d)
		}
	}
	page, next, err := paginate(found, "documents", in.NextToken, in.MaxResults, documentPage, func(d *document) string { return d.name })
	if err != nil {
		return nil, err
	}
	out := &awsssm.ListDocumentsOutput{NextToken: next, DocumentIdentifiers: []types.DocumentIdentifier{}}
	for _, d := range page {
		full := d.describe(d.versions[slices.IndexFunc(d.versions, func(v *documentRevision) bool { return v.number == d.defaultVersion })])
		out.DocumentIdentifiers = append(out.DocumentIdentifiers, types.DocumentIdentifier{
			Name: full.Name, Owner: full.Owner, CreatedDate: full.CreatedDate, PlatformTypes: full.PlatformTypes, DocumentVersion: full.DocumentVersion,
			DocumentType: full.DocumentType, SchemaVersion: full.SchemaVersion, DocumentFormat: full.DocumentFormat, Tags: full.Tags,
			VersionName: full.VersionName, DisplayName: full.DisplayName, TargetType: full.TargetType,
		})
	}
	return out, nil
}

// matches reports whether a filter of ListDocuments lets the document pass.
func (d *document) matches(f types.DocumentKeyValuesFilter, account string) (bool, error) {
	any := func(ok func(string) bool) (bool, error) { return slices.ContainsFunc(f.Values, ok), nil }
	switch key := deref(f.Key); {
	case key == "Name":
		return any(func(v string) bool { return strings.HasPrefix(d.name, v) })
	case key == "Owner":
		return any(func(v string) bool {
			switch v {
			case "All", "Public", "ThirdParty", "Private":
				return v == "All" || v == "Public" && d.owner == "Amazon"
			case "Self":
				return d.owner == account
			default:
				return d.owner == v
			}
		})
	case key == "PlatformTypes":
		return any(func(v string) bool { return slices.Contains(d.latest().platforms(), types.PlatformType(v)) })
	case key == "DocumentType":
		return any(func(v string) bool { return v == string(types.DocumentTypeCommand) })
	case key == "tag-key":
		return any(func(v string) bool { _, ok := d.tags[v]; return ok })
	case strings.HasPrefix(key, "tag:"):
		value, ok := d.tags[strings.TrimPrefix(key, "tag:")]
		return any(func(v string) bool { return ok && v == value })
	default:
		return false, errFilterKey()
	}
}

func (s *Service) listDocumentVersions(_ wire.Identity, in *awsssm.ListDocumentVersionsInput) (*awsssm.ListDocumentVersionsOutput, error) {
	c := &constraints{}
	c.between("maxResults", in.MaxResults, 1, documentPage)
	if err := c.err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, _, err := s.find(in.Name, nil, nil)
	if err != nil {
		return nil, err
	}
	newest := slices.Clone(d.versions)
	slices.Reverse(newest)
	page, next, err := paginate(newest, "versions/"+d.name, in.NextToken, in.MaxResults, documentPage, func(v *documentRevision) string { return strconv.Itoa(v.number) })
	if err != nil {
		return nil, err
	}
	out := &awsssm.ListDocumentVersionsOutput{NextToken: next}
	for _, v := range page {
		out.DocumentVersions = append(out.DocumentVersions, types.DocumentVersionInfo{
			Name: &d.name, DocumentVersion: new(strconv.Itoa(v.number)), VersionName: optional(v.name), CreatedDate: &v.created,
			IsDefaultVersion: v.number == d.defaultVersion, DocumentFormat: types.DocumentFormatJson, Status: types.DocumentStatusActive,
		})
	}
	return out, nil
}

func (s *Service) deleteDocument(_ wire.Identity, in *awsssm.DeleteDocumentInput) (*awsssm.DeleteDocumentOutput, error) {
	c := &constraints{}
	c.required("name", in.Name != nil)
	c.pattern("name", in.Name, documentName)
	c.pattern("documentVersion", in.DocumentVersion, documentVersion)
	if err := c.err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.owned(*in.Name)
	if err != nil {
		return nil, err
	}
	if cmp.Or(deref(in.DocumentVersion), deref(in.VersionName)) == "" {
		delete(s.documents, d.name)
		return &awsssm.DeleteDocumentOutput{}, nil
	}
	v, err := d.revision(in.DocumentVersion, in.VersionName)
	if err != nil {
		return nil, errDocument("The version does not exist.") // AWS's model has no InvalidDocumentVersion here
	}
	if v.number == d.defaultVersion {
		return nil, errDocumentOperation("Default version of the document can't be deleted.")
	}
	d.versions = slices.DeleteFunc(d.versions, func(o *documentRevision) bool { return o == v })
	return &awsssm.DeleteDocumentOutput{}, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// optional is a member that is left out where it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
