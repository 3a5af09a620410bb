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
)

// imageLine is an image event; a step of null is none.
func imageLine(key, step string) string {
	return fmt.Sprintf(`{"ts": 5, "type": "image", "data": {"key": %q, "path": "media/a.png", "step": %s}}`+"\n", key, step)
}

// TestIndex_SumsUpImages of logs in order and of others, as they grow and after a restart.
func TestIndex_SumsUpImages(t *testing.T) {
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
			l.settle(t)
			check("a 2 last 1@5 max 1", "b 4 last 7@5 max 3")
			l.restart(t)
			check("a 2 last 1@5 max 1", "b 4 last 7@5 max 3")
		})
	}
}

// TestIndex_SteadyReadsEndedRunsOnce, until the list says another thing of them.
func TestIndex_SteadyReadsEndedRunsOnce(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	id := l.AddRun(demotest.Run{Path: "p", Status: "running", Events: events(1, 4)})
	if got := lossOf(t, l.lookup(t, PartMetrics, Steady).Records[0]); got.Count != 3 {
		t.Fatalf("it is not waited for: %+v", got)
	}
	if err := errors.Join(l.AppendEvents(id, events(4, 10)), l.SetStatus(id, "finished")); err != nil {
		t.Fatal(err)
	}
	if got := lossOf(t, l.lookup(t, PartMetrics, Steady).Records[0]); got.Count != 9 {
		t.Errorf("what is outdated is not read again: %+v", got)
	}
	before := l.reads.Load()
	l.skew.Add(int64(24 * time.Hour))
	l.lookup(t, PartMetrics, Steady)
	l.settle(t)
	if n := l.reads.Load() - before; n != 0 {
		t.Errorf("%d files were read again", n)
	}
}

// TestRecord_ParamsAreTheConfigurationAndTheSummary, nested ones too, and each once by its
// full name.
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
