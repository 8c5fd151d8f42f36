package evidence

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/keytrail/keytrail/rotate/register"
)

// empty is S3 without an object.
type empty struct{ objects }

func (empty) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return nil, &types.NoSuchKey{}
}

func (empty) ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	return &s3.ListObjectsV2Output{}, nil
}

func TestADraftReadsWhatIsThereAndWritesNothing(t *testing.T) {
	t.Parallel()
	real := Bucket{&draft{objects: empty{}, written: map[string][]byte{"watch/a": []byte("1"), "watch/c": []byte("3")}}, "b"}
	draft := real.Draft()
	ctx := t.Context()
	body, tag, err := draft.Read(ctx, "watch/a")
	if err != nil || string(body) != "1" {
		t.Fatalf("%q, %v", body, err)
	}
	if _, err := draft.Write(ctx, "watch/a", []byte("2"), "another"); !errors.Is(err, ErrChanged) {
		t.Errorf("a write over another tag: %v", err)
	}
	tag, err = draft.Write(ctx, "watch/a", []byte("2"), tag)
	if err != nil {
		t.Fatal(err)
	}
	if body, again, err := draft.Read(ctx, "watch/a"); err != nil || string(body) != "2" || again != tag {
		t.Errorf("read back: %q %q, %v", body, again, err)
	}
	if err := draft.Create(ctx, "watch/c", []byte("4"), register.Retention{}); !errors.Is(err, ErrChanged) {
		t.Errorf("create what is there: %v", err)
	}
	if err := draft.Create(ctx, "watch/b", []byte("4"), register.Retention{}); err != nil {
		t.Error(err)
	}
	if names, err := draft.List(ctx, "watch/", "watch/a"); err != nil || !slices.Equal(names, []string{"watch/b", "watch/c"}) {
		t.Errorf("listed %q, %v", names, err)
	}
	if _, _, err := draft.Read(ctx, "watch/d"); !errors.Is(err, ErrAbsent) {
		t.Errorf("what is nowhere: %v", err)
	}
	if body, _, err := real.Read(ctx, "watch/a"); err != nil || string(body) != "1" {
		t.Errorf("the bucket has %q, %v", body, err)
	}
	if names, err := real.List(ctx, "watch/", ""); err != nil || len(names) != 2 {
		t.Errorf("the bucket lists %q, %v", names, err)
	}
}
