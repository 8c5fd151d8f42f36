package wire

import "time"

// Served is a call as it went on the side of its service, whatever becomes of
// the reply.
type Served struct {
	Request
	Received     time.Time
	Status       int
	ErrorCode    string // "" when it was served, or when a REST handler wrote the error itself
	ErrorMessage string
	Answer       []byte // the body of what was served
}

// Observe has a function told of every call when its service is done with it,
// before the faults after it and before the caller gets the reply. Requests
// that were lost or that named no service and action are not among them. The
// function must not call the front, and must not wait.
func (f *Front) Observe(observer func(Served)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observers = append(f.observers, observer)
}

func (f *Front) tell(r Request, received time.Time, a answer) {
	f.mu.RLock()
	observers := f.observers
	f.mu.RUnlock()
	if a.dropped || len(observers) == 0 {
		return
	}
	s := Served{Request: r, Received: received, Status: a.status, ErrorCode: a.code, Answer: a.body}
	if a.fault != nil {
		s.ErrorMessage = asError(a.fault).Message
	}
	for _, observer := range observers {
		observer(s)
	}
}
