package search

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// imageLine is an image event; the step may be null.
func imageLine(key, step string) string {
	return fmt.Sprintf(`{"ts": 5, "type": "image", "data": {"key": %q, "path": "media/a.png", "step": %s}}`+"\n", key, step)
}

// Images are aggregated for logs with steps in order and for others, as the log grows and
// after a restart.
func TestIndex_AggregatesImages(t *testing.T) {
	const unordered = `{"ts": 1, "type": "metrics", "data": {"loss": 1, "global_step": 2}}` + "\n" +
		`{"ts": 1, "type": "metrics", "data": {"loss": 1, "global_step": 1}}` + "\n"
	for name, before := range map[string]string{"in order": string(events(1, 3)), "not in order": unordered} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, demotest.Gen07, filepath.Join(t.TempDir(), "search.db"))
			id := l.AddRun(demotest.Run{Path: "p", Status: "running", Events: []byte(before + imageLine("b", "1") + imageLine("b", "1") + imageLine("a", "null"))})
			check := func(want ...string) {
				t.Helper()
				var got []string
				for _, i := range l.lookup(t, PartMetrics, Wait).Records[0].Images() {
					got = append(got, fmt.Sprintf("%s %d last %d@%v max %d", i.Key, i.Count, i.Last.Step, i.Last.Time, i.MaxPerStep))
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			check("a 1 last 0@5 max 1", "b 2 last 1@5 max 2")
			if err := l.AppendEvents(id, []byte(imageLine("b", "1")+imageLine("a", "null")+imageLine("b", "7"))); err != nil {
				t.Fatal(err)
			}
			l.skew.Add(int64(time.Hour))
			l.lookup(t, PartMetrics, Known)
			l.awaitIdle(t)
			check("a 2 last 1@5 max 1", "b 4 last 7@5 max 3")
			l.restart(t)
			check("a 2 last 1@5 max 1", "b 4 last 7@5 max 3")
		})
	}
}

// A record of an ended run is used until its list entry changes.
func TestIndex_SteadyReadsEndedRunsOnce(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	id := l.AddRun(demotest.Run{Path: "p", Status: "running", Events: events(1, 4)})
	if got := lossOf(t, l.lookup(t, PartMetrics, Steady).Records[0]); got.Count != 3 {
		t.Fatalf("a new run is not waited for: %+v", got)
	}
	if err := errors.Join(l.AppendEvents(id, events(4, 10)), l.SetStatus(id, "finished")); err != nil {
		t.Fatal(err)
	}
	if got := lossOf(t, l.lookup(t, PartMetrics, Steady).Records[0]); got.Count != 9 {
		t.Errorf("an outdated record is not refreshed: %+v", got)
	}
	before := l.reads.Load()
	l.skew.Add(int64(24 * time.Hour))
	l.lookup(t, PartMetrics, Steady)
	l.awaitIdle(t)
	if n := l.reads.Load() - before; n != 0 {
		t.Errorf("%d files were read again", n)
	}
}

// The points are in the cache of parsed runs without another request, and the records equal
// those of other lookups, including runs whose steps are not in order or that are too large
// for the cache.
func TestIndex_SteadyReadsPointsInTheSameRead(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	ids := []string{
		l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: append(events(1, 50), imageLine("a", "3")...)}),
		l.AddRun(demotest.Run{Path: "q", Status: "finished", Events: append(events(9, 20), events(1, 5)...)}),
		l.AddRun(demotest.Run{Path: "r", Status: "finished"}),
	}
	start := time.Now()
	got := l.lookup(t, PartMetrics, Steady).Records
	for _, id := range ids {
		key := runsource.Key{Viewer: "v", RunID: id}
		err := l.config.Cache.ReadSince(t.Context(), key, runsource.Run{Client: l.fleet.Client, Key: key}, start, func(v *runcache.View) error {
			if rows := v.Table.Rows(); rows == 0 && id != ids[2] {
				t.Errorf("%s has no points", id)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if n := l.reads.Load(); n != 3 {
		t.Errorf("%d reads of 3 files", n)
	}
	compare := func(what string, got, want []*Record) {
		t.Helper()
		for i := range want {
			if !slices.EqualFunc(got[i].Metrics, want[i].Metrics, func(a, b Metric) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) || !slices.Equal(got[i].images, want[i].images) {
				t.Errorf("%s, run %d: got %+v, want %+v", what, i, got[i], want[i])
			}
			if got[i].checkpoint.offset != want[i].checkpoint.offset && !want[i].unordered || got[i].Origin != want[i].Origin {
				t.Errorf("%s, run %d: read up to %d, want %d", what, i, got[i].checkpoint.offset, want[i].checkpoint.offset)
			}
		}
	}
	l.restart(t)
	want := l.lookup(t, PartMetrics, Wait).Records
	compare("cached", got, want)

	small := runcache.New(runcache.Config{MaxBytes: 1})
	defer small.Close()
	l.config.Cache = small
	l.restart(t)
	defer l.index.Close() // before the cache is closed
	compare("too large", l.lookup(t, PartMetrics, Steady).Records, want)
}

// An older table of a run that has ended since must not be used: the run would never be read
// again.
func TestIndex_SteadyUsesNoOlderTable(t *testing.T) {
	l := newLab(t, demotest.Gen05, "")
	id := l.AddRun(demotest.Run{Project: "p", Status: "running", Events: events(1, 4)})
	key := runsource.Key{Viewer: "v", RunID: id}
	read := func(*runcache.View) error { return nil }
	if err := l.config.Cache.Read(t.Context(), key, runsource.Run{Client: l.fleet.Client, Key: key}, read); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.AppendEvents(id, events(4, 10)), l.SetStatus(id, "finished")); err != nil {
		t.Fatal(err)
	}
	if got := lossOf(t, l.lookup(t, PartMetrics, Steady).Records[0]); got.Count != 9 {
		t.Errorf("got %+v", got)
	}
}

// A run that was listed as ended temporarily, and then grows, is refreshed.
func TestIndex_SteadyFollowsAReopenedRun(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	id := l.AddRun(demotest.Run{Path: "p", Status: "finished", Events: events(1, 4)})
	l.lookup(t, PartMetrics, Steady)
	if err := errors.Join(l.SetStatus(id, "running"), l.AppendEvents(id, events(4, 8))); err != nil {
		t.Fatal(err)
	}
	l.skew.Add(int64(time.Hour))
	before := l.bytes.Load()
	l.lookup(t, PartMetrics, Steady)
	l.awaitIdle(t)
	if got := lossOf(t, l.lookup(t, PartMetrics, Steady).Records[0]); got.Count != 7 {
		t.Errorf("got %+v", got)
	}
	if n := l.bytes.Load() - before; n >= int64(len(events(1, 8))+len(events(1, 4))) {
		t.Errorf("%d bytes were read, so the whole log was", n)
	}
}

// Nested parameters are included, and each is returned once, by its full name.
func TestRecord_ParamsAreTheConfigurationAndTheSummary(t *testing.T) {
	text := func(values ...string) document {
		var d document
		for _, v := range values {
			d = append(d, field{key: strings.ReplaceAll(v, ".", keySeparator)})
		}
		return d
	}
	r := &Record{config: text("args.lr", "args.net.depth", "extra.seed", "lr", "seed"), summary: text("acc", "best.loss")}
	var got []string
	for name := range r.Params {
		got = append(got, name)
	}
	if want := []string{"lr", "net.depth", "seed", "summary.acc", "summary.best.loss"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
