package cloudformation

import (
	"cmp"
)

var ssmKinds = map[string]kind{
	"AWS::SSM::Document": define(definition[ssmDocument]{
		create: createDocument, update: updateDocument, remove: removeDocument,
		replaces: func(was, is *ssmDocument) bool {
			return is.UpdateMethod != "NewVersion" && (was.content() != is.content() || was.VersionName != is.VersionName || was.TargetType != is.TargetType)
		},
	}),
}

type ssmDocument struct {
	Content        any `cfn:"required"` // an object, or the text itself
	DocumentFormat string
	DocumentType   string `cfn:"fixed"`
	Name           string `cfn:"name"`
	Tags           []Tag
	TargetType     string
	UpdateMethod   string
	VersionName    string
}

// content is the text of the document: an object becomes compact JSON.
func (d *ssmDocument) content() string {
	if text, ok := d.Content.(string); ok {
		return text
	}
	b, err := marshal(d.Content)
	if err != nil {
		return "" // trees that were read from a template have a form in JSON
	}
	return string(b)
}

// input is what CreateDocument and UpdateDocument have in common.
func (d *ssmDocument) input(name string) map[string]any {
	in := map[string]any{"Name": name, "Content": d.content()}
	for key, value := range map[string]string{"DocumentFormat": d.DocumentFormat, "TargetType": d.TargetType, "VersionName": d.VersionName} {
		if value != "" {
			in[key] = value
		}
	}
	return in
}

func createDocument(t *task, d *ssmDocument) (entity, error) {
	name := cmp.Or(d.Name, t.name(128))
	in := d.input(name)
	if d.DocumentType != "" {
		in["DocumentType"] = d.DocumentType
	}
	if tags := t.tags(d.Tags); len(tags) > 0 {
		in["Tags"] = tags
	}
	return entity{ID: name}, t.json(t, "ssm", "AmazonSSM.CreateDocument", in, nil)
}

// updateDocument makes a new version, which becomes the default one. Content
// that an older version has, as when an update is undone, makes that version
// the default again.
func updateDocument(t *task, e entity, was, is *ssmDocument) (entity, error) {
	if was.content() != is.content() || was.VersionName != is.VersionName || was.TargetType != is.TargetType {
		version, err := t.newVersion(e.ID, is)
		if err != nil {
			return e, err
		}
		err = t.json(t, "ssm", "AmazonSSM.UpdateDocumentDefaultVersion", map[string]any{"Name": e.ID, "DocumentVersion": version}, nil)
		if err != nil {
			return e, err
		}
	}
	return e, t.retagDocument(e.ID, t.tags(was.Tags), t.tags(is.Tags))
}

func (t *task) newVersion(name string, d *ssmDocument) (string, error) {
	in := d.input(name)
	in["DocumentVersion"] = "$LATEST"
	var out struct {
		DocumentDescription struct{ DocumentVersion string }
	}
	err := t.json(t, "ssm", "AmazonSSM.UpdateDocument", in, &out)
	if !isCode(err, "DuplicateDocumentContent") {
		return out.DocumentDescription.DocumentVersion, err
	}
	var list struct {
		DocumentVersions []struct{ DocumentVersion string }
	}
	if err := t.json(t, "ssm", "AmazonSSM.ListDocumentVersions", map[string]any{"Name": name}, &list); err != nil {
		return "", err
	}
	for _, v := range list.DocumentVersions {
		var got struct{ Content string }
		if err := t.json(t, "ssm", "AmazonSSM.GetDocument", map[string]any{"Name": name, "DocumentVersion": v.DocumentVersion}, &got); err != nil {
			return "", err
		}
		if got.Content == d.content() {
			return v.DocumentVersion, nil
		}
	}
	return "", err
}

func (t *task) retagDocument(name string, was, is []Tag) error {
	gone := goneTags(was, is)
	if len(gone) > 0 {
		if err := t.json(t, "ssm", "AmazonSSM.RemoveTagsFromResource", map[string]any{"ResourceType": "Document", "ResourceId": name, "TagKeys": gone}, nil); err != nil {
			return err
		}
	}
	if len(is) == 0 {
		return nil
	}
	return t.json(t, "ssm", "AmazonSSM.AddTagsToResource", map[string]any{"ResourceType": "Document", "ResourceId": name, "Tags": is}, nil)
}

// goneTags are the keys of tags that are no more.
func goneTags(was, is []Tag) []string {
	var gone []string
	for _, old := range was {
		kept := false
		for _, tag := range is {
			kept = kept || tag.Key == old.Key
		}
		if !kept {
			gone = append(gone, old.Key)
		}
	}
	return gone
}

func removeDocument(t *task, e entity, _ *ssmDocument) error {
	err := t.json(t, "ssm", "AmazonSSM.DeleteDocument", map[string]any{"Name": e.ID}, nil)
	if isCode(err, "InvalidDocument") {
		return nil
	}
	return err
}
