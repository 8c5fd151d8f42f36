package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// filled returns a value with every member set, texts to one that each encoder has its own idea of.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch {
	case t == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 11, 28, 6, 0, 0, 120_000_000, time.UTC)))
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(filled(t.Elem()))
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			v.Field(i).Set(filled(t.Field(i).Type))
		}
	case t.Kind() == reflect.Slice:
		v.Set(reflect.Append(v, filled(t.Elem())))
	case t.Kind() == reflect.String:
		v.SetString("<a href=\"&\">\\u2028 \u2028\u2029 \xff \x00\x7f\b\f\r\n\t é 🔑 \\\u2028")
	case t.Kind() == reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(7)
	}
	return v
}

func TestRecordsAreInTheCanonicalForm(t *testing.T) {
	t.Parallel()
	r := filled(reflect.TypeFor[Record]()).Interface().(Record)
	r.Schema = Schema
	got, err := r.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	want, err := jcs.Transform(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("another implementation of RFC 8785 writes\n%s\nnot\n%s", want, got)
	}
	again, err := Decode(got)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := again.Canonical(); !bytes.Equal(body, got) {
		t.Error("what was read is not what was written")
	}
	m := filled(reflect.TypeFor[Manifest]()).Interface().(Manifest)
	day, err := m.canonical()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := jcs.Transform(day); err != nil || !bytes.Equal(want, day) {
		t.Errorf("a manifest is not in the canonical form: %v", err)
	}
	for name, body := range map[string]string{
		"a space": string(got) + " ", "a member that is not known": `{"more":1,` + string(got[1:]), "half of it": string(got[:len(got)/2]), "nothing": "",
	} {
		if _, err := Decode([]byte(body)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheSchemaIsThatOfTheRecords holds the published schema to records of each kind and to the types.
func TestTheSchemaIsThatOfTheRecords(t *testing.T) {
	t.Parallel()
	record, manifest := compiled(t, "evidence.schema.json"), compiled(t, "evidence.schema.json#/$defs/Manifest")

	s := &shelf{}
	l := newLog(s)
	print := "SHA256:" + strings.Repeat("A", 43)
	verified := seen(1, 2, 1)
	v := verified.Verification
	v.Fingerprint, v.Version, v.Held = print, "v", new(string)
	v.Keys = []Key{{256, r1, print, "current", "live", "ssh-ed25519", "v"}}
	v.Settings = Settings{30, r1, "f", "k", r1, true, "p", r1, true, "rate(30 days)"}
	v.Hosts[0].Users[0] = User{1, true, []Foreign{{"c", print, true, 3, "c", "/p", "RSA"}}, "u", "r", []string{print}, 1, "stale", true, 1, "kcl"}
	records := []Record{verified,
		{Kind: Rotated, At: r1, Event: Event{r1, "id", "RotationFailed"}, Rotation: &Rotation{"message", "f", Failed, r1, "setSecret", "v"}},
		{Kind: Reconciled, At: r1, Reconcile: &Reconcile{"no", []Change{{"c", "i-1", "r", "ok", "u", "missing"}}, "heal"}},
		{Kind: Alerted, At: r1, Alert: &Alert{"drift-missing", 2, "kt-1", "kt-1-1", "r", "critical", r1, "opened", "arn"}},
		{Kind: Excepted, At: r1, Exceptions: &Exceptions{[]string{print}, "no", []Exception{{"2027-01-31", print, []string{"i-*"}, "Ops", "launch key", "deploy"}}, []string{print}, strings.Repeat("0", 64)}},
	}
	appended(t, l, Head{}, records...)
	if _, err := l.Close(t.Context(), fleetSecret, r1); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for key, body := range s.objects {
		object, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		schema := record
		if strings.Contains(key, daysName) {
			schema = manifest
		}
		if err := schema.Validate(object); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		members(object, used)
		for name := range object.(map[string]any) {
			less := map[string]any{"more": 1}
			for k, v := range object.(map[string]any) {
				less[k] = v
			}
			if schema.Validate(less) == nil {
				t.Errorf("%s: a member that is not known passes", key)
			}
			delete(less, "more")
			delete(less, name)
			if optional := name == "event" || name == "fleets" || name == "secret"; (schema.Validate(less) == nil) != optional {
				t.Errorf("%s: without %s: %v", key, name, schema.Validate(less))
			}
		}
	}
	// Every member that the schema has stands in one of these records.
	var all struct {
		Defs map[string]struct{ Properties map[string]json.RawMessage } `json:"$defs"`
	}
	text, err := os.ReadFile("evidence.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for def, d := range all.Defs {
		for name := range d.Properties {
			if !used[name] && !slices.Contains([]string{"gone", "unregistered"}, name) {
				t.Errorf("no record has %s of %s", name, def)
			}
		}
	}
}

// compiled reads a published schema, or with #/… at its end a part of it.
func compiled(t *testing.T, location string) *jsonschema.Schema {
	t.Helper()
	file, _, _ := strings.Cut(location, "#")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(file, document); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile(location)
}

// members gathers the names of a value's members, at whatever depth.
func members(v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			into[name] = true
			members(member, into)
		}
	case []any:
		for _, item := range v {
			members(item, into)
		}
	}
}
