package alert

import (
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/keytrail/keytrail/audit/evidence"
)

// TestOneMessageComesOfManyProcessesOverS3 runs what the tests in memory run once more over the wire.
func TestOneMessageComesOfManyProcessesOverS3(t *testing.T) {
	t.Parallel()
	backend := s3mem.New()
	if err := backend.CreateBucket("state"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	c := &crowd{}
	at := time.Now()
	tell := func(s Sighting) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				client := s3.New(s3.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, UsePathStyle: true,
					Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")})
				if _, err := newDesk(evidence.NewBucket(client, "state"), c, rules).Tell(t.Context(), s); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	tell(drift(at.Add(-3*time.Second), "a"))
	tell(drift(at.Add(-2*time.Second), "a", "b"))
	tell(drift(at.Add(-time.Second)))
	tell(drift(at.Add(-2*time.Second), "a", "b"))
	want := []string{"opened", "updated", "resolved"}
	for _, topic := range []Topic{Alerts, Chat} {
		if got := c.statuses(topic); !slices.Equal(got, want) {
			t.Errorf("%s heard %q, want %q", topic, got, want)
		}
	}
}
