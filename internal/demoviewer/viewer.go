// Package demoviewer is a small Runicorn Viewer as an [http.Handler]: sample projects, one
// run that keeps training, and the answers, statuses, headers and quirks of the real
// releases 0.5.3, 0.6.0 and 0.7.2. The server's --demo uses it instead of Python.
//
// Its sample runs and every answer that does not depend on state were captured from real
// Viewers (testdata/capture.py writes data/), and its tests replay those captures.
// Deleting, restoring, editing, purging and switching the storage root take effect in
// memory. Nothing runs in the background: a live run is computed from the clock on request.
//
// ServeHTTP finds the route of the generation and calls its handler under the Viewer's
// lock, which serializes calls like the single event loop of a real Viewer. The answer is
// written after the lock is released. The log WebSocket is served separately, in the
// goroutine of its connection. Package demotest extends the demo for the fast tests.
//
// The package must not know gRPC, the generated code or the Viewer client.
package demoviewer

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Generation names a Viewer release whose behavior the demo copies.
type Generation string

// The generations that the demo supports.
const (
	Gen05 Generation = "0.5.3"
	Gen06 Generation = "0.6.0"
	Gen07 Generation = "0.7.2"
)

// Generations lists the supported generations, oldest first.
func Generations() []Generation { return []Generation{Gen05, Gen06, Gen07} }

// Config configures a Viewer. The zero value is a 0.7.2 Viewer with the sample runs.
type Config struct {
	// Generation is the release; empty means Gen07.
	Generation Generation
	// Clock returns the time; nil means [time.Now].
	Clock func() time.Time
	// Live adds a run that keeps training from ten minutes before New was called.
	Live bool
	// Empty leaves the sample runs out.
	Empty bool
	// Before, if set, may answer instead of a handler; it is called with the Viewer's lock
	// held.
	Before func(*Call) (Answer, bool)
}

// Viewer is a demo Viewer. It is safe for concurrent use.
type Viewer struct {
	clock  func() time.Time
	before func(*Call) (Answer, bool)

	mu       sync.Mutex
	gen      *generation
	root     string // the storage root in use
	rootSet  bool   // whether it was set by a request
	storages map[string]*storage
	live     string // id of the run that keeps training
}

// New returns a Viewer, or an error if the generation is unknown.
func New(cfg Config) (*Viewer, error) {
	gen, err := loadGeneration(cmp.Or(cfg.Generation, Gen07))
	if err != nil {
		return nil, err
	}
	clock := cfg.Clock
	if clock == nil {
		clock = time.Now
	}
	v := &Viewer{clock: clock, before: cfg.Before, gen: gen, root: rootDir, storages: map[string]*storage{}}
	if !cfg.Empty {
		if v.storages[rootDir], err = gen.sample(); err != nil {
			return nil, fmt.Errorf("load the %s sample: %w", gen.release, err)
		}
	}
	if cfg.Live {
		v.addLive()
	}
	return v, nil
}

// ServeHTTP answers one request like the Viewer.
func (v *Viewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if IsSocket(r) {
		v.serveSocket(w, r)
		return
	}
	v.answer(r).write(w, r)
}

// Restart turns the Viewer into another generation, like an upgrade on the same storage:
// the runs stay.
func (v *Viewer) Restart(release Generation) error {
	gen, err := loadGeneration(release)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gen = gen
	return nil
}

// answer routes r and runs its handler.
func (v *Viewer) answer(r *http.Request) Answer {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil {
			return badRequest("There was an error parsing the body")
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	c, handle := &Call{Request: r, Route: r.Method + " *", Query: r.URL.Query(), Body: body}, noRoute
	if route, params := v.gen.match(r.Method, r.URL.Path); route != nil {
		c.Route, c.Params, handle = route.name, params, route.handle
	}
	if v.before != nil {
		if a, done := v.before(c); done {
			return a
		}
	}
	return handle(v, c)
}

// store returns the storage of the current root. v.mu must be held.
func (v *Viewer) store() *storage {
	s, ok := v.storages[v.root]
	if !ok {
		s = &storage{runs: map[string]*Record{}}
		v.storages[v.root] = s
	}
	return s
}

// HasSample reports whether the current root has the sample. The lock must be held.
func (v *Viewer) HasSample() bool { return v.store().sample }

// Dir returns the folder of a run. The lock must be held.
func (v *Viewer) Dir(r *Record) string { return v.gen.dir(v.root, r) }

// Locked calls f with the Viewer's lock held.
func (v *Viewer) Locked(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
}

// Clock returns the Viewer's time.
func (v *Viewer) Clock() time.Time { return v.clock() }

// Release returns the current generation. The lock must be held.
func (v *Viewer) Release() Generation { return v.gen.release }

// Runs returns the runs that are not in the bin. The lock must be held.
func (v *Viewer) Runs() []*Record { return v.gen.list(v.store(), false) }

// Captured returns the requests to the real Viewer of the generation, in order. The lock
// must be held.
func (v *Viewer) Captured() []Captured { return v.gen.answers }

// now returns the time as the Viewer writes it: epoch seconds.
func (v *Viewer) now() float64 { return Epoch(v.clock()) }

// Epoch converts t to seconds with microseconds, the precision of the SDK's floats.
func Epoch(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
