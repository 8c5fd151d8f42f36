package wire_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// shape has a member of each kind that SDK structs have.
type shape struct {
	Name           *string
	Count          *int32
	Size           int64
	On             *bool
	When           *time.Time
	Blob           []byte
	List           []string
	Map            map[string][]string
	Nested         *shape
	Status         types.StatusType
	Ratio          *float64
	ResultMetadata map[string]string
}

func TestDecodeAndEncodeAreInverse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"Size":0}`,
		`{"Name":"a\"\\\n\u0001ü","Size":9007199254740993}`,
		`{"Count":5,"Size":-1,"On":false,"When":1.5E9,"Blob":"AP/+","List":[],"Map":{"a":["x"],"b":[]},"Nested":{"Name":"n","Size":2},"Status":"InSync","Ratio":0.5}`,
	} {
		var s shape
		if err := wire.Decode([]byte(text), &s); err != nil {
			t.Errorf("decode %s: %v", text, err)
		}
		got, err := wire.Encode(&s)
		if err != nil {
			t.Errorf("encode what %s decodes to: %v", text, err)
		}
		if diff := cmp.Diff(text, string(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestTimesAsAWSPrintsThem(t *testing.T) {
	t.Parallel()
	for want, at := range map[string]time.Time{
		"1.523477145713E9": time.UnixMilli(1523477145713),
		"1.6E9":            time.Unix(1600000000, 999),
		"1.0E9":            time.Unix(1000000000, 0),
		"0.0E0":            time.Unix(0, 0),
	} {
		got, err := wire.Encode(at)
		if err != nil || string(got) != want {
			t.Errorf("Encode(%v) = %s, %v, want %s", at, got, err, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"Name":7}`:             "SerializationException: NUMBER_VALUE can not be converted to a String",
		`{"Name":true}`:          "SerializationException: TRUE_VALUE can not be converted to a String",
		`{"Name":["a"]}`:         "SerializationException: Start of list found where not expected",
		`{"Name":{}}`:            "SerializationException: Start of structure or map found where not expected.",
		`{"Count":"7"}`:          "SerializationException: STRING_VALUE can not be converted to an Integer",
		`{"Count":7.5}`:          "SerializationException",
		`{"Count":3000000000}`:   "SerializationException",
		`{"On":"true"}`:          "SerializationException: STRING_VALUE can not be converted to a Boolean",
		`{"When":"2026-11-02"}`:  "SerializationException: STRING_VALUE can not be converted to milliseconds since epoch",
		`{"When":1e300}`:         "SerializationException: 1e300 can not be converted to milliseconds since epoch",
		`{"Blob":"*"}`:           "SerializationException",
		`{"List":"a"}`:           "SerializationException: STRING_VALUE can not be converted to a list",
		`{"Map":[]}`:             "SerializationException: Start of list found where not expected",
		`{"Nested":{"Count":""}`: "SerializationException",
		`[]`:                     "SerializationException: Start of list found where not expected",
		`{} {}`:                  "SerializationException",
		`{}}`:                    "SerializationException",
		`"`:                      "SerializationException",
	} {
		err := wire.Decode([]byte(text), &shape{})
		if err == nil || err.Error() != want {
			t.Errorf("Decode(%s) = %v, want %s", text, err, want)
		}
	}
}

func TestEncodeRefusesWhatHasNoForm(t *testing.T) {
	t.Parallel()
	for _, v := range []any{func() {}, map[int]string{1: "a"}, []any{make(chan int)}} {
		if got, err := wire.Encode(v); err == nil {
			t.Errorf("Encode(%T) = %s", v, got)
		}
	}
}
