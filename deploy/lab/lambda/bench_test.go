package lambda_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/lambda"
)

// BenchmarkColdInvoke starts the smallest function for each invocation:
// process, first next, answer and end.
func BenchmarkColdInvoke(b *testing.B) {
	s := newService(b, lambda.Options{}, empty())
	for b.Loop() {
		invoke(b, s, "{}")
		b.StopTimer()
		s.Kill("sample")
		b.StartTimer()
	}
}

// BenchmarkWarmInvoke uses one sandbox of the smallest function.
func BenchmarkWarmInvoke(b *testing.B) {
	s := newService(b, lambda.Options{}, empty())
	invoke(b, s, "{}")
	for b.Loop() {
		invoke(b, s, "{}")
	}
	b.ReportMetric(float64(s.PeakRSS("sample"))/(1<<20), "MiB-resident")
}

func empty() lambda.Function {
	return lambda.Function{Name: "sample", Command: []string{filepath.Join(programs, "empty")}, Timeout: time.Minute}
}
