package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"golang.org/x/sync/errgroup"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/events"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// sandboxes is how many of the events function run at once in a burst.
const sandboxes = 4

// burst is a crowd of events about some secrets, which come twice and in any order: for each secret private
// keys that strangers read, a policy that one changed, rotations that came and went, and rotation that is
// switched off.
type burst struct {
	*watched
	secrets          []secret
	reads, rotations int

	at       time.Time // of all events
	versions []string  // of the rotations, the same for each secret
	ids      map[string][]string
}

// stranger names the n-th reader.
func stranger(n int) string { return fmt.Sprintf("arn:aws:iam::111122223333:role/stranger-%d", n) }

// newBurst returns a world in which so many secrets were rotated.
func newBurst(t testing.TB, secrets, reads, rotations int) *burst {
	t.Helper()
	w := watch(t, nodes(1), []string{"Readers=arn:aws:iam::111122223333:role/apps/*"}, func(o *lab.Options) {
		o.Events.Duplicates, o.Async.Duplicates, o.Events.Jitter = 0.5, 0.5, 500*time.Millisecond
	})
	f, _ := w.Lambda().Function(watcher)
	f.Concurrency = sandboxes
	if err := w.AddFunction(f); err != nil {
		t.Fatal(err)
	}
	b := &burst{watched: w, reads: reads, rotations: rotations, ids: map[string][]string{}}
	for i := range secrets {
		b.secrets = append(b.secrets, w.secret(keytrail, fmt.Sprintf("fleet-%d", i), ""))
	}
	for i := range rotations {
		b.versions = append(b.versions, fmt.Sprintf("%08d-2222-4333-8444-555555555555", i))
	}
	var group errgroup.Group
	group.SetLimit(3)
	for _, s := range b.secrets {
		group.Go(func() error {
			_, err := s.rotate()
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	b.end()
	w.expect()
	return b
}

// size is how many events the burst has.
func (b *burst) size() int { return len(b.secrets) * (b.reads + 2*b.rotations + 2) }

// publish puts all events on the bus, in no order.
func (b *burst) publish() {
	b.t.Helper()
	b.at = time.Now().UTC().Truncate(time.Second)
	var all []func()
	for i, s := range b.secrets {
		for n := range b.reads {
			all = append(all, func() { b.call(s, "GetSecretValue", stranger(n), fmt.Sprintf("read-%d-%d", i, n)) })
		}
		all = append(all, func() { b.call(s, "PutResourcePolicy", stranger(0), fmt.Sprintf("policy-%d", i)) })
		for _, v := range b.versions {
			all = append(all, func() { b.service(s, "RotationStarted", v) }, func() { b.service(s, "RotationSucceeded", v) })
		}
		all = append(all, func() {
			if _, err := b.world.secrets.CancelRotateSecret(b.t.Context(), &secretsmanager.CancelRotateSecretInput{SecretId: &s.arn}); err != nil {
				b.t.Error(err)
			}
		})
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, f := range all {
		f()
	}
}

// end waits until nothing of the burst is left.
func (b *burst) end() {
	b.t.Helper()
	b.Secrets().Wait()
	b.Events().Wait()
	b.Lambda().Wait() // however long it takes
	b.settle()
}

// call puts the record of somebody's call on the bus.
func (b *burst) call(s secret, name, role, id string) {
	b.ids[s.arn] = append(b.ids[s.arn], id)
	b.send("AWS API Call via CloudTrail", name == "GetSecretValue", map[string]any{
		"eventID": id, "eventName": name, "eventType": "AwsApiCall", "requestID": id, "requestParameters": map[string]any{"secretId": s.arn},
		"userIdentity": map[string]any{
			"type": "AssumedRole", "arn": strings.Replace(strings.Replace(role, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/session",
			"accountId": "111122223333", "sessionContext": map[string]any{"sessionIssuer": map[string]any{"arn": role}},
		},
	})
}

// service puts the record of what Secrets Manager did on the bus.
func (b *burst) service(s secret, name, version string) {
	b.send("AWS Service Event via CloudTrail", false, map[string]any{
		"eventID": name + s.name + version, "eventName": name, "eventType": "AwsServiceEvent", "requestID": "Rotation-" + s.arn + "-" + version,
		"userIdentity":        map[string]any{"accountId": "111122223333", "invokedBy": "secretsmanager.amazonaws.com"},
		"additionalEventData": map[string]any{"SecretId": s.arn},
	})
}

func (b *burst) send(detailType string, reads bool, record map[string]any) {
	record["eventTime"], record["eventSource"], record["awsRegion"] = b.at.Format(time.RFC3339), "secretsmanager.amazonaws.com", "us-east-1"
	record["recipientAccountId"], record["readOnly"] = "111122223333", reads
	detail, err := json.Marshal(record)
	if err != nil {
		panic(err) // texts have a form
	}
	b.Events().Publish(events.Event{Source: "aws.secretsmanager", DetailType: detailType, Time: b.at, Detail: detail, Reads: reads})
}

// judge fails for what was lost, doubled or made up: in the mails, in the chat, and in what is kept.
func (b *burst) judge() {
	b.t.Helper()
	got, want := map[string]int{}, map[string]int{}
	for _, m := range b.mails() {
		got[m.subject]++
		for n := range b.reads {
			if strings.Contains(m.text, stranger(n)+"\n") && strings.Contains(m.subject, "private key read") {
				got[m.subject+" by "+stranger(n)]++
			}
		}
	}
	for _, s := range b.secrets {
		read := "[CRITICAL] private key read: " + s.name
		want[read], want["[HIGH] resource policy changed: "+s.name], want["[HIGH] rotation switched off: "+s.name] = b.reads, 1, 1
		for n := range b.reads {
			want[read+" by "+stranger(n)] = 1
		}
	}
	if !maps.Equal(got, want) {
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if got[name] != want[name] {
				b.t.Errorf("%d mails %q, not %d", got[name], name, want[name])
			}
			delete(got, name)
		}
		b.t.Errorf("mails that nothing led to: %v", got)
	}
	if chat, n := b.chat(), len(b.secrets)*(b.reads+2); strings.Count(chat, "# thread-") != n || strings.Count(chat, "Amazon Q Developer") != n {
		b.t.Errorf("%d threads with %d messages, not %d", strings.Count(chat, "# thread-"), strings.Count(chat, "Amazon Q Developer"), n)
	}
	if bodies, reasons := b.dead(); len(bodies) > 0 {
		b.t.Errorf("dead letters: %q %q", bodies, reasons)
	}
	b.judgeJournals()
	b.judgeAlerts()
}

// judgeJournals fails unless each journal tells of all that happened, and nobody holds it.
func (b *burst) judgeJournals() {
	b.t.Helper()
	type journal struct {
		Secret    struct{ ARN string }
		Rotations []struct {
			Version            string
			Started, Succeeded time.Time
		}
		Changes map[string]struct{ EventID string }
		Look    struct{ Holder string }
	}
	journals := kept(b.world, "watch/", func(j journal) string { return j.Secret.ARN })
	for _, s := range b.secrets {
		j := journals[s.arn]
		whole := 0
		for _, r := range j.Rotations {
			if slices.Contains(b.versions, r.Version) && r.Started.Equal(b.at) && r.Succeeded.Equal(b.at) {
				whole++
			}
		}
		if whole != b.rotations || len(j.Rotations) != b.rotations+1 || j.Changes["CancelRotateSecret"].EventID == "" || j.Look.Holder != "" {
			b.t.Errorf("the journal of %s: %+v", s.name, j)
		}
	}
}

// judgeAlerts fails unless each event stands in one alert, and all was said.
func (b *burst) judgeAlerts() {
	b.t.Helper()
	type record struct {
		Secret struct{ ARN string }
		Alerts map[string]struct {
			Condition string
			Events    []string
		}
		Unsaid []any
		Claim  struct{ Holder string }
	}
	records := kept(b.world, "alerts/", func(r record) string { return r.Secret.ARN })
	for _, s := range b.secrets {
		r := records[s.arn]
		var ids []string
		for _, a := range r.Alerts {
			if a.Condition != "rotation-succeeded" { // which one look tells of for several events
				ids = append(ids, a.Events...)
			}
		}
		slices.Sort(ids)
		if want := slices.Sorted(slices.Values(b.ids[s.arn])); !slices.Equal(ids, want) {
			b.t.Errorf("the alerts of %s are about %q, not %q", s.name, ids, want)
		}
		if len(r.Unsaid) > 0 || r.Claim.Holder != "" {
			b.t.Errorf("the alerts of %s: unsaid %v, held by %q", s.name, r.Unsaid, r.Claim.Holder)
		}
	}
}

// kept returns the JSON objects below a prefix of the bucket, by what is said of each.
func kept[T any](w *world, prefix string, name func(T) string) map[string]T {
	w.t.Helper()
	client, all := w.objects(), map[string]T{}
	for pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix}); pages.HasMorePages(); {
		page, err := pages.NextPage(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range page.Contents {
			out, err := client.GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: o.Key})
			if err != nil {
				w.t.Fatal(err)
			}
			body, err := io.ReadAll(out.Body)
			if err != nil {
				w.t.Fatal(err)
			}
			_ = out.Body.Close() // it was read
			var object T
			if err := json.Unmarshal(body, &object); err != nil {
				w.t.Fatalf("%s: %v", aws.ToString(o.Key), err)
			}
			all[name(object)] = object
		}
	}
	return all
}

func TestOfACrowdOfEventsNoneIsLostAndNoneDoubled(t *testing.T) {
	t.Parallel()
	b := newBurst(t, 6, 4, 2)
	if b.size() != 60 {
		t.Fatalf("%d events", b.size())
	}
	b.publish()
	b.end()
	b.judge()
}

// BenchmarkEvents is a thousand events about fifty secrets.
func BenchmarkEvents(b *testing.B) {
	crowd := newBurst(b, 50, 14, 2)
	var calls atomic.Int64
	crowd.Front().Observe(func(s wire.Served) {
		if byWatcher(s.Request) {
			calls.Add(1)
		}
	})
	var took time.Duration
	for b.Loop() {
		started := time.Now()
		crowd.publish()
		crowd.Events().Wait()
		crowd.Lambda().Wait()
		took = time.Since(started)
		crowd.end()
		crowd.judge()
	}
	b.ReportMetric(float64(crowd.size())/took.Seconds(), "events/s")
	b.ReportMetric(float64(calls.Load())/float64(crowd.size()), "calls/event")
}
