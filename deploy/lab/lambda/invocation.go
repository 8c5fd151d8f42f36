package lambda

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// invocation is one event on its way through a sandbox.
type invocation struct {
	id, arn, trace string
	payload        []byte
	deadline       time.Time
	begun          time.Time
	logged         int64         // where its lines begin in the log
	done           chan struct{} // closed when the runtime asks for the next one
	answer         *answer       // guarded by the Runtime API of its sandbox
}

func newInvocation(id, arn string, payload []byte) *invocation {
	return &invocation{
		id:      id,
		arn:     arn,
		trace:   fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", time.Now().Unix(), random(12), random(8)),
		payload: payload,
		done:    make(chan struct{}),
	}
}

// again returns the same invocation for another attempt.
func (i *invocation) again() *invocation {
	return &invocation{id: i.id, arn: i.arn, trace: i.trace, payload: i.payload, done: make(chan struct{})}
}

// begin opens an invocation's part of the log.
func (i *invocation) begin(log stream) {
	i.begun, i.logged = time.Now(), log.size()
	log.printf("START RequestId: %s Version: %s", i.id, latest)
}

// end closes an invocation's part of the log, and returns its last 4 KB.
func (i *invocation) end(log stream, a answer, init time.Duration, memoryMB int, peak int64) []byte {
	if i.begun.IsZero() { // the sandbox never took it
		i.begin(log)
	}
	took := time.Since(i.begun)
	if a.note != "" {
		log.printf("%s", a.note)
	}
	log.printf("END RequestId: %s", i.id)
	report := fmt.Sprintf("REPORT RequestId: %s\tDuration: %s\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB",
		i.id, milliseconds(took), (took + init + time.Millisecond - 1).Milliseconds(), memoryMB, (peak+1<<20-1)>>20)
	if init > 0 {
		report += "\tInit Duration: " + milliseconds(init)
	}
	log.printf("%s%s", report, a.status)
	return log.tail(i.logged)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
}

// answer is what an invocation comes to.
type answer struct {
	payload []byte
	isError bool
	note    string // what Lambda logs before the end of the invocation
	status  string // what it adds to the report
}

// failed is an error of Lambda's own, not of the function.
func failed(errorType, message string) answer {
	return answer{
		payload: errorPayload(errorType, message),
		isError: true,
		note:    message + "\n" + errorType,
		status:  errorStatus(errorType),
	}
}

// failure is the error of a sandbox that does not start; it is the answer to
// the invocation that asked for it.
type failure struct{ answer }

func (f *failure) Error() string { return string(f.payload) }

// timedOut is the answer in place of one that did not come in time.
func timedOut(id string, limit time.Duration) answer {
	task := fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds())
	a := failed("Sandbox.Timedout", "RequestId: "+id+" Error: "+task)
	a.note = time.Now().UTC().Format("2006-01-02T15:04:05.000Z ") + id + " " + task + "\n"
	a.status = "\tStatus: timeout"
	return a
}

// errorPayload is the form that errors have in the Runtime API and in the
// answers of Invoke.
func errorPayload(errorType, message string) []byte {
	b, _ := json.Marshal(struct { // two strings always have a form in JSON
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{errorType, message})
	return b
}

func errorStatus(errorType string) string {
	return "\tStatus: error\tError Type: " + errorType
}

// errorType reads the type out of an error's payload.
func errorType(payload []byte) string {
	var e struct {
		Type string `json:"errorType"`
	}
	if json.Unmarshal(payload, &e) != nil || e.Type == "" {
		return "Runtime.Unknown"
	}
	return e.Type
}

// newRequestID returns a version 4 UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
