package operator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// BenchmarkStart measures what everybody waits for at every command line, against a program that does nothing. The
// ratio is of the fastest of many starts: whatever else the machine does only slows some of them down.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	source, empty := filepath.Join(dir, "main.go"), filepath.Join(dir, "empty")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-ldflags", "-s -w", "-o", empty, source).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	fastest := func(program string, args ...string) time.Duration {
		const starts = 50
		best := time.Hour
		for range starts {
			began := time.Now()
			if out, err := exec.CommandContext(b.Context(), program, args...).CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
			best = min(best, time.Since(began))
		}
		return best
	}
	for b.Loop() {
		help, nothing := fastest(keytrailProgram, "--help"), fastest(empty)
		b.ReportMetric(help.Seconds()*1000, "ms/help")
		b.ReportMetric(help.Seconds()/nothing.Seconds(), "times-empty")
	}
	info, err := os.Stat(keytrailProgram)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
}

func TestTheCommandIsNoLargerThanItMayBe(t *testing.T) {
	t.Parallel()
	const most = 30_000_000 // bytes
	if info, err := os.Stat(keytrailProgram); err != nil || info.Size() > most {
		t.Errorf("%v, %v", info, err)
	}
}

// BenchmarkStatus measures the list of 200 secrets where each call takes 20 ms.
func BenchmarkStatus(b *testing.B) {
	w := newWorld(b, 1)
	const secrets = 200
	for n := range secrets {
		name, value := fmt.Sprintf("fleet-%03d", n), `{"PublicKey":"","PrivateKey":""}`
		_, err := w.secrets.CreateSecret(b.Context(), &secretsmanager.CreateSecretInput{
			Name: &name, SecretString: &value, Tags: []smtypes.Tag{{Key: aws.String("keytrail:users"), Value: aws.String(user)}},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	w.settle()
	w.Front().Inject(wire.Fault{Do: func(context.Context, wire.Request) error {
		time.Sleep(20 * time.Millisecond)
		return nil
	}})
	for b.Loop() {
		if a := w.keytrail("status", "--output", "json"); strings.Count(a.out, `"arn"`) != secrets {
			b.Fatalf("%d\n%s\n%s", a.code, a.out, a.err)
		}
	}
}
