package faultproxy

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Rule says which calls to break, and how. The zero value matches every call for ever and breaks nothing. Set the fields
// before the rule is added.
type Rule struct {
	// Method is the method that matches; empty means all.
	Method string
	// Path is the decoded path that matches; a "*" at its end matches any rest; empty means all.
	Path string
	// Times is for how many calls the rule holds; 0 means for ever.
	Times int

	// Delay waits before anything is answered.
	Delay time.Duration
	// BytesPerSecond lets the body trickle; 0 means at full speed.
	BytesPerSecond int
	// Pause waits before each piece of the body that the server behind sends.
	Pause time.Duration
	// Cut ends the body after CutAfter bytes.
	Cut Cut
	// CutAfter is the number of body bytes that pass before the cut.
	CutAfter int
	// Status answers this status, with Body and Header, in place of what is behind; 0 means to ask it.
	Status int
	// Header is added to the answer, replacing headers of the same name. With Status, Content-Type is text/plain unless
	// it is given here.
	Header map[string]string
	// Body is the body of the answer when Status or Garbage is set.
	Body string
	// Garbage writes Body to the connection as it is, in place of an HTTP answer, and closes it.
	Garbage bool
	// ContentLength announces this length whatever the body's is; 0 leaves it alone.
	ContentLength int
	// Hold keeps the call until Release is called, the caller goes, or the proxy is closed. Faults follow after it.
	Hold *Barrier

	used int // guarded by the proxy's lock
}

// Cut is a way to end a body too early.
type Cut int

// The ways to end a body. CutReset resets the connection (RST); CutClean closes it in order, which a client can only tell
// from the end by the announced length; CutShort ends a chunked body as if it were whole.
const (
	CutNone Cut = iota
	CutReset
	CutClean
	CutShort
)

// use tells whether the rule applies, and uses it up by one. Called with the proxy's lock held.
func (r *Rule) use(req *http.Request) bool {
	if r.Method != "" && r.Method != req.Method || !r.matches(req.URL.Path) {
		return false
	}
	if r.Times > 0 && r.used >= r.Times {
		return false
	}
	r.used++
	return true
}

// matches compares a path.
func (r *Rule) matches(path string) bool {
	if prefix, open := strings.CutSuffix(r.Path, "*"); open {
		return strings.HasPrefix(path, prefix)
	}
	return r.Path == "" || r.Path == path
}

// Barrier holds calls until it is released.
type Barrier struct {
	once     sync.Once
	open     chan struct{}
	mu       sync.Mutex
	arrivals int
	arrived  chan struct{} // replaced when a call arrives
}

// NewBarrier makes a closed barrier.
func NewBarrier() *Barrier { return &Barrier{open: make(chan struct{}), arrived: make(chan struct{})} }

// Release lets every held call go on, and all later ones.
func (g *Barrier) Release() { g.once.Do(func() { close(g.open) }) }

// Arrived tells how many calls have come to the barrier so far.
func (g *Barrier) Arrived() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.arrivals
}

// Wait returns when n calls have come to the barrier, or done is closed; it tells whether they came.
func (g *Barrier) Wait(done <-chan struct{}, n int) bool {
	for {
		g.mu.Lock()
		arrivals, arrived := g.arrivals, g.arrived
		g.mu.Unlock()
		if arrivals >= n {
			return true
		}
		select {
		case <-arrived:
		case <-done:
			return false
		}
	}
}

// wait waits for the release; it tells whether it came before one of the other ends.
func (g *Barrier) wait(gone, closed <-chan struct{}) bool {
	g.mu.Lock()
	g.arrivals++
	close(g.arrived)
	g.arrived = make(chan struct{})
	g.mu.Unlock()
	select {
	case <-g.open:
		return true
	case <-gone:
		return false
	case <-closed:
		return false
	}
}
