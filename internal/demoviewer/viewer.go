// Package demoviewer is a small Runicorn Viewer as an [http.Handler]: sample projects, one run that keeps training,
// and the answers, statuses, headers and quirks of the real releases 0.5.3, 0.6.0 and 0.7.2. The server's --demo uses
// it instead of Python.
//
// Its sample runs and every answer that no change affects were captured from the real Viewers (testdata/capture.py makes
// data/), and its tests replay those captures. Deleting, restoring, editing, purging and switching the storage root take
// effect in memory. Nothing runs in the background: a live run is computed from the clock when somebody asks.
//
// A call goes: ServeHTTP → route table of the generation → one handler under the Viewer's lock, which is as serial as the
// single event loop of the real one → an answer, written after the lock is free. The log WebSocket is served beside that,
// in the goroutine of its connection. Package demotest makes of it what the fast tests need.
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

// Generation names a Viewer release whose behaviour the demo copies.
type Generation string

// The generations that the demo knows.
const (
	Gen05 Generation = "0.5.3"
	Gen06 Generation = "0.6.0"
	Gen07 Generation = "0.7.2"
)

// Generations lists the known generations, oldest first.
func Generations() []Generation { return []Generation{Gen05, Gen06, Gen07} }

// Config says what a Viewer is like. The zero value is a 0.7.2 Viewer with the sample runs.
type Config struct {
	// Generation is the release; empty means Gen07.
	Generation Generation
	// Clock tells the time; nil means [time.Now].
	Clock func() time.Time
	// Live adds a run that keeps training from ten minutes before New was called.
	Live bool
	// Empty leaves the sample runs out.
	Empty bool
	// Before, where set, may answer in place of a handler; it is called with the Viewer's lock held.
	Before func(*Call) (Answer, bool)
}

// Viewer is a demo Viewer. It is safe for concurrent use.
type Viewer struct {
	clock  func() time.Time
	before func(*Call) (Answer, bool)

	mu       sync.Mutex
	gen      *generation
	root     string // the storage root in use
	rootSet  bool   // whether somebody has chosen it
	storages map[string]*storage
	live     string // id of the run that keeps training
}

// New makes a Viewer. It fails when the generation is unknown.
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

// ServeHTTP answers one request as the Viewer would.
func (v *Viewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if IsSocket(r) {
		v.serveSocket(w, r)
		return
	}
	v.answer(r).write(w, r)
}

// Restart turns the Viewer into another generation, as an upgrade on the same storage does: the runs stay.
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

// store is the storage behind the current root. Called with mu held.
func (v *Viewer) store() *storage {
	s, ok := v.storages[v.root]
	if !ok {
		s = &storage{runs: map[string]*Record{}}
		v.storages[v.root] = s
	}
	return s
}

// HasSample tells whether the sample is below the current root. Called with mu held.
func (v *Viewer) HasSample() bool { return v.store().sample }

// Dir is the folder of a run. Called with mu held.
func (v *Viewer) Dir(r *Record) string { return v.gen.dir(v.root, r) }

// Locked calls f with mu held.
func (v *Viewer) Locked(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
}

// Clock tells the Viewer's time.
func (v *Viewer) Clock() time.Time { return v.clock() }

// Release is the generation that the Viewer is now. Called with mu held.
func (v *Viewer) Release() Generation { return v.gen.release }

// Runs are those that are not in the bin. Called with mu held.
func (v *Viewer) Runs() []*Record { return v.gen.list(v.store(), false) }

// Captured are the requests to the real Viewer of the generation, in their order. Called with mu held.
func (v *Viewer) Captured() []Captured { return v.gen.answers }

// now is the time as the Viewer writes it: epoch seconds.
func (v *Viewer) now() float64 { return Epoch(v.clock()) }

// Epoch turns t into seconds with microseconds, which is as much as the SDK's floats keep.
func Epoch(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
