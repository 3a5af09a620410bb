// Package demoviewer is a small Runicorn Viewer as an [http.Handler]: sample projects, one run that keeps training,
// and the answers, statuses, headers and quirks of the real releases 0.5.3, 0.6.0 and 0.7.2. The server's --demo and the
// fast tests of the other packages use it instead of Python.
//
// Its sample runs and every answer that no change affects were captured from the real Viewers (testdata/capture.py makes
// data/), and its tests replay those captures. Deleting, restoring, editing, purging and switching the storage root take
// effect in memory. Nothing runs in the background: a live run is computed from the clock when somebody asks.
//
// A call goes: ServeHTTP → route table of the generation → one handler under the Viewer's lock, which is as serial as the
// single event loop of the real one → an answer, written after the lock is free. The log WebSocket is
// served beside that, in the goroutine of its connection.
//
// The package must not know gRPC, the generated code or the Viewer client.
package demoviewer

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"strings"
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
	// Generation is a full release ("0.5.3") or its first two numbers ("0.5"); empty means Gen07.
	Generation Generation
	// Clock tells the time; nil means [time.Now].
	Clock func() time.Time
	// Seed makes the curve and the id of the live run; equal seeds and clocks give equal bytes.
	Seed uint64
	// Live adds a run that keeps training from ten minutes before New was called.
	Live bool
	// Empty leaves the sample runs out.
	Empty bool
	// LogWait is how often the log WebSocket looks for a file that is missing; 2 s when zero, as in the real ones.
	LogWait time.Duration
}

// Viewer is a demo Viewer. It is safe for concurrent use.
type Viewer struct {
	clock func() time.Time

	mu       sync.Mutex
	gen      *generation
	root     string // the storage root in use
	rootSet  bool   // whether somebody has chosen it
	storages map[string]*storage
	cache    tableCache
	settings settings
	counts   map[string]int
	sockets  sockets
	logWait  time.Duration
}

// New makes a Viewer. It fails when the generation is unknown.
func New(cfg Config) (*Viewer, error) {
	gen, err := loadGeneration(cfg.Generation)
	if err != nil {
		return nil, err
	}
	clock := cfg.Clock
	if clock == nil {
		clock = time.Now
	}
	v := &Viewer{clock: clock, root: rootDir, storages: map[string]*storage{}, counts: map[string]int{}}
	v.sockets, v.logWait = newSockets(), cmp.Or(cfg.LogWait, 2*time.Second)
	v.start(gen)
	if !cfg.Empty {
		if v.storages[rootDir], err = gen.sample(); err != nil {
			return nil, fmt.Errorf("load the %s sample: %w", gen.release, err)
		}
	}
	if cfg.Live {
		v.addLive(cfg.Seed)
	}
	return v, nil
}

// ServeHTTP answers one request as the Viewer would.
func (v *Viewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isSocket(r) {
		v.serveSocket(w, r)
		return
	}
	v.answer(r).write(w, r)
}

// Requests tells how often a route was asked, by method and route template as in /openapi.json, for example
// "GET /api/runs/{run_id}". Requests that match no route count as the method and "*".
func (v *Viewer) Requests(route string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.counts[route]
}

// AllRequests returns the counts of every route that was asked.
func (v *Viewer) AllRequests() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.counts)
}

// Restart turns the Viewer into another generation, as an upgrade on the same storage does: the runs stay, what the old
// process held in memory (cache counters, saved connections) is gone. Request counts go on.
func (v *Viewer) Restart(release Generation) error {
	gen, err := loadGeneration(release)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.start(gen)
	return nil
}

// start resets what a process holds in memory. Called with mu held, or before v is shared.
func (v *Viewer) start(gen *generation) {
	v.gen = gen
	v.cache = tableCache{sizes: map[string]int64{}}
	v.settings = settings{}
}

// answer routes r and runs its handler.
func (v *Viewer) answer(r *http.Request) answer {
	body, err := readBody(r)
	if err != nil {
		return detail(http.StatusBadRequest, "There was an error parsing the body")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	route, params := v.gen.match(r.Method, r.URL.Path)
	if route == nil {
		v.counts[r.Method+" *"]++
		return v.gen.noRoute(r.Method)
	}
	v.counts[route.name]++
	return route.handle(v, &call{r: r, route: route, params: params, query: r.URL.Query(), body: body})
}

// store is the storage behind the current root. Called with mu held.
func (v *Viewer) store() *storage {
	s, ok := v.storages[v.root]
	if !ok {
		s = newStorage(v.root)
		v.storages[v.root] = s
	}
	return s
}

// now is the time as the Viewer writes it: epoch seconds.
func (v *Viewer) now() float64 { return epoch(v.clock()) }

// epoch turns t into seconds with microseconds, which is as much as the SDK's floats keep.
func epoch(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// fullRelease completes "0.5" to "0.5.3".
func fullRelease(g Generation) (Generation, bool) {
	if g == "" {
		return Gen07, true
	}
	for _, known := range Generations() {
		if g == known || strings.HasPrefix(string(known), string(g)+".") && strings.Count(string(g), ".") == 1 {
			return known, true
		}
	}
	return "", false
}
