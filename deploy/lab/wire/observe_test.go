package wire_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// What a service did is told even when the reply is lost, and what never
// reached it is not.
func TestObserve(t *testing.T) {
	t.Parallel()
	f := wire.New(wire.Options{})
	f.Handle("secretsmanager", serviceFunc(describe))
	var got []string
	f.Observe(func(s wire.Served) {
		got = append(got, fmt.Sprintf("%s %s %s answered %t", s.Action, s.Body, s.ErrorCode, len(s.Answer) > 0))
	})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	header := map[string]string{"Authorization": scoped("secretsmanager"), "X-Amz-Target": "secretsmanager.DescribeSecret"}
	raw(t, server.URL, header, `{"SecretId":"a"}`)
	f.Inject(wire.Fault{Times: 1, When: wire.After, Do: wire.Throttle})
	raw(t, server.URL, header, `{"SecretId":"b"}`)
	f.Inject(wire.Fault{Times: 1, Do: wire.Throttle})
	raw(t, server.URL, header, `{"SecretId":"c"}`)
	want := []string{
		`DescribeSecret {"SecretId":"a"}  answered true`,
		`DescribeSecret {"SecretId":"b"}  answered true`,
		`DescribeSecret {"SecretId":"c"} ThrottlingException answered false`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
