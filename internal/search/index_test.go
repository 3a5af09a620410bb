package search

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search/statefile"
)

// lab is an index of one demo Viewer.
type lab struct {
	*demotest.Viewer
	index  *Index
	config Config
	fleet  *fleet.Viewer
	bytes  atomic.Int64 // read from files
	reads  atomic.Int64 // of files
	skew   atomic.Int64 // of the index's clock, in nanoseconds
	clock  func() time.Time
	onRead atomic.Pointer[func(*http.Request)]
}

// Observe counts the reads of files and their bytes.
func (l *lab) Observe(o restclient.Observation) {
	if o.Route == "/api/runs/{run_id}/assets/download" {
		l.bytes.Add(o.Bytes)
		l.reads.Add(1)
	}
}

func newLab(t *testing.T, generation demotest.Generation, stateFile string) *lab {
	t.Helper()
	viewer, err := demotest.New(demotest.Config{Generation: generation, Empty: true})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{Viewer: viewer}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := l.onRead.Load(); f != nil {
			(*f)(r)
		}
		viewer.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	all, err := fleet.New([]fleet.Entry{{Name: "v", URL: server.URL}}, restclient.Config{Observer: l, Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.Close)
	l.fleet = all.Configured()[0]
	cache := runcache.New(runcache.Config{})
	t.Cleanup(cache.Close)
	l.config = Config{Cache: cache, StateFile: stateFile}
	l.clock = func() time.Time { return time.Now().Add(time.Duration(l.skew.Load())) }
	l.restart(t)
	return l
}

// restart closes the index and creates another one.
func (l *lab) restart(t *testing.T) {
	t.Helper()
	if l.index != nil {
		l.index.Close()
	}
	index := New(l.config)
	index.now = l.clock
	l.index = index
	t.Cleanup(index.Close)
}

// runs returns the runs of the Viewer's list.
func (l *lab) runs(t *testing.T) []Run {
	t.Helper()
	l.fleet.Client.InvalidateRuns()
	list, err := l.fleet.Client.Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var runs []Run
	for i := range list.Runs {
		runs = append(runs, Run{Viewer: l.fleet, Listed: &list.Runs[i]})
	}
	return runs
}

func (l *lab) lookup(t *testing.T, parts Parts, mode Mode) *Result {
	t.Helper()
	res, err := l.index.Lookup(t.Context(), l.runs(t), parts, mode)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// awaitIdle waits until no read is queued or in flight.
func (l *lab) awaitIdle(t *testing.T) {
	t.Helper()
	for {
		l.index.mu.Lock()
		v := l.index.viewers[l.fleet.Client]
		var pending *job
		for _, e := range v.entries {
			if e.job != nil {
				pending = e.job
			}
		}
		l.index.mu.Unlock()
		if pending == nil {
			return
		}
		select {
		case <-pending.done:
		case <-t.Context().Done():
			t.Fatal("the reads do not end")
		}
	}
}

func events(from, to int) []byte {
	var b []byte
	for step := from; step < to; step++ {
		b = fmt.Appendf(b, `{"ts": %d.0, "type": "metrics", "data": {"global_step": %d, "loss": %g, "time": %d.5}}`+"\n", 1700000000+step, step, 1/float64(step), 1700000000+step)
	}
	return b
}

func lossOf(t *testing.T, r *Record) Metric {
	t.Helper()
	if r == nil || len(r.Named("loss")) != 1 {
		t.Fatalf("no loss in %+v", r)
	}
	return r.Named("loss")[0]
}

func TestIndex_ReadsOnlyTheNewBytesOfAGrowingRun(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	id := l.AddRun(demotest.Run{Path: "p", Events: events(1, 2000)})
	if m := lossOf(t, l.lookup(t, PartMetrics, Wait).Records[0]); m.Count != 1999 || m.Last.Step != 1999 {
		t.Fatalf("got %+v", m)
	}
	before := l.bytes.Load()
	added := events(2000, 2010)
	if err := l.AppendEvents(id, added); err != nil {
		t.Fatal(err)
	}
	l.skew.Add(int64(2 * time.Second))
	if m := lossOf(t, l.lookup(t, PartMetrics, Wait).Records[0]); m.Count != 1999 {
		t.Errorf("a lookup of a known run waits: %+v", m)
	}
	l.awaitIdle(t)
	if m := lossOf(t, l.lookup(t, PartMetrics, Wait).Records[0]); m.Count != 2009 || m.Last.Step != 2009 {
		t.Errorf("got %+v", m)
	}
	if read := l.bytes.Load() - before; read > int64(len(added))+2500 {
		t.Errorf("%d bytes were read for %d new ones", read, len(added))
	}
}

func TestIndex_DetectsAReplacedLog(t *testing.T) {
	for _, tt := range []struct {
		name string
		log  []byte
	}{
		{"a shorter one", events(5, 50)},
		{"a longer one", events(5, 5000)},
		{"an empty one", []byte{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, demotest.Gen06, "")
			id := l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: events(1, 200)})
			lossOf(t, l.lookup(t, PartMetrics, Wait).Records[0])
			if err := l.ReplaceEvents(id, tt.log); err != nil {
				t.Fatal(err)
			}
			l.skew.Add(int64(endedTTL + time.Second))
			l.lookup(t, PartMetrics, Wait)
			l.awaitIdle(t)
			r := l.lookup(t, PartMetrics, Wait).Records[0]
			if len(tt.log) == 0 && len(r.Metrics) == 0 {
				return
			}
			if m := lossOf(t, r); m.FirstStep != 5 {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func TestIndex_DoesNotUseTheRecordOfARunWithAnotherIdentity(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	id := l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: events(1, 200)})
	l.lookup(t, PartMetrics, Wait)
	if err := l.ReplaceEvents(id, events(7, 100)); err != nil {
		t.Fatal(err)
	}
	runs := l.runs(t)
	moved := *runs[0].Listed
	moved.CreatedTime.Time = moved.CreatedTime.Add(time.Second) // as if the storage root had been switched
	res, err := l.index.Lookup(t.Context(), []Run{{Viewer: l.fleet, Listed: &moved}}, PartMetrics, Wait)
	if err != nil {
		t.Fatal(err)
	}
	if m := lossOf(t, res.Records[0]); m.FirstStep != 7 {
		t.Errorf("got %+v", m)
	}
}

func TestIndex_RefreshesAnEndedRunWhenItsListEntryChanges(t *testing.T) {
	l := newLab(t, demotest.Gen06, "")
	id := l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: events(1, 200)})
	l.lookup(t, PartMetrics, Wait)
	if err := errors.Join(l.AppendEvents(id, events(200, 300)), l.SetStatus(id, "failed")); err != nil {
		t.Fatal(err)
	}
	l.lookup(t, PartMetrics, Wait)
	l.awaitIdle(t)
	if m := lossOf(t, l.lookup(t, PartMetrics, Wait).Records[0]); m.Count != 299 {
		t.Errorf("got %+v", m)
	}
}

func TestIndex_ConcurrentCallersShareOneRead(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	for range 20 {
		l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: events(1, 200)})
	}
	runs := l.runs(t)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			res, err := l.index.Lookup(t.Context(), runs, PartMetrics, Wait)
			if err != nil || errors.Join(res.Errs...) != nil {
				t.Errorf("%v, %v", err, res)
			}
		})
	}
	wg.Wait()
	if got := l.reads.Load(); got != 20 {
		t.Errorf("%d reads for 20 runs", got)
	}
}

func TestIndex_KnownReturnsErrNotYetForUnreadRuns(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: events(1, 200)})
	if res := l.lookup(t, PartMetrics, Known); !errors.Is(res.Errs[0], ErrNotYet) || !res.Oldest.IsZero() {
		t.Errorf("got %+v", res)
	}
	l.awaitIdle(t)
	if res := l.lookup(t, PartMetrics, Known); res.Errs[0] != nil || res.Oldest.IsZero() {
		t.Errorf("got %+v", res)
	}
}

func TestIndex_RestoresRecordsAfterARestart(t *testing.T) {
	l := newLab(t, demotest.Gen07, filepath.Join(t.TempDir(), "search.db"))
	for range 10 {
		l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: events(1, 200), Summary: []byte(`{"acc": 0.5}`)})
	}
	all := PartMetrics | PartSummary | PartTimes | PartConfig
	l.lookup(t, all, Wait)
	l.awaitIdle(t)
	before := l.reads.Load()
	l.restart(t)
	res := l.lookup(t, all, Known)
	for i, r := range res.Records {
		if m := lossOf(t, r); m.Count != 199 || !r.Summary("acc").Known() || res.Errs[i] != nil {
			t.Errorf("got %+v, %v", m, res.Errs[i])
		}
	}
	l.awaitIdle(t)
	if got := l.reads.Load(); got != before {
		t.Errorf("%d reads after the restart", got-before)
	}
}

func TestIndex_ReadsTheNewestRunsFirst(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	ids := l.AddRuns(40)
	var mu sync.Mutex
	var order []string
	record := func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for i, id := range ids {
			if len(order) < 8 && r.URL.Path == "/api/runs/"+id+"/assets/download" && i < 20 {
				t.Errorf("run %d of 40 is among the first", i)
			}
			if r.URL.Path == "/api/runs/"+id+"/assets/download" {
				order = append(order, id)
			}
		}
	}
	l.onRead.Store(&record)
	l.lookup(t, PartMetrics, Wait)
	if len(order) != 40 {
		t.Errorf("%d reads", len(order))
	}
}

func TestIndex_IsInMemoryIfItsFileIsUnavailable(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "search.db")
	other, err := statefile.Open(statefile.Config{Path: locked, MaxBytes: 1 << 20, Version: codecVersion, ReadTime: readTimeOf, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() // only its lock matters
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"another process has it": locked, "its directory is a file": filepath.Join(file, "search.db")} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			l := newLab(t, demotest.Gen07, path)
			l.config.Log = slog.New(slog.NewTextHandler(&log, nil))
			l.restart(t)
			l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: events(1, 20)})
			for range 2 {
				lossOf(t, l.lookup(t, PartMetrics, Wait).Records[0])
			}
			l.index.Close()
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "in memory only") {
				t.Errorf("the log says %q", got)
			}
		})
	}
}

func TestIndex_EvictsTheLeastRecentlyUsedRecords(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	l.config.MaxBytes = 8 << 10
	l.restart(t)
	for range 40 {
		l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: events(1, 20)})
	}
	for _, r := range l.lookup(t, PartMetrics, Wait).Records {
		lossOf(t, r)
	}
	if s := l.index.Total(); s.Bytes > 8<<10 || s.Digested == 0 {
		t.Errorf("got %+v", s)
	}
}
