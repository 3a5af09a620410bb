package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestOtherReleases is the short form of this package for the releases that the
// other tests do not run on: every way to read metrics, against the Viewer's own
// table and the event files.
func TestOtherReleases(t *testing.T) {
	t.Parallel()
	for _, version := range realviewer.OtherReleases() {
		t.Run(string(version), func(t *testing.T) {
			install := realviewer.Require(t, version)
			start := time.Now()
			seeded, err := realviewer.StartSeeded(t.Context(), install, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := seeded.Close(); err != nil {
					t.Error(err)
				}
			})
			r := &release{
				s:      mustStart(t, append([]string{"--viewer=" + seeded.URL()}, quickTails...)...),
				seeded: seeded, cells: map[string]map[position]cell{},
			}
			t.Run("generation", r.generation)
			t.Run("metrics", r.metrics)
			t.Run("stream", r.stream)
			t.Run("tail", r.tail)
			t.Run("compare", r.compare)
			t.Run("best", r.best)
			t.Run("experiments", r.experiments)
			t.Run("export", r.export)
			t.Logf("Viewer %s, without its installation: %v", version, time.Since(start).Round(100*time.Millisecond))
		})
	}
}

// release is one release in the short form.
type release struct {
	s      *server
	seeded *realviewer.Seeded
	cells  map[string]map[position]cell // by key, as GetMetrics answers
}

// ended calls do for the runs that do not grow meanwhile.
func (r *release) ended(do func(key string, run realviewer.Run)) {
	for _, key := range r.seeded.Manifest.Keys() {
		if key != realviewer.KeyLive && key != realviewer.KeyHeld {
			do(key, r.seeded.Manifest.Runs[key])
		}
	}
}

func (r *release) generation(t *testing.T) {
	resp, err := r.s.viewers.GetViewer(t.Context(), &runicornapiv1.GetViewerRequest{})
	if err != nil {
		t.Fatal(err)
	}
	generation := r.seeded.Version().Generation()
	if got := resp.GetViewer().GetGeneration(); got != generation {
		t.Errorf("generation %q, want %q", got, generation)
	}
	for capability, want := range map[string]bool{
		"artifacts.list": generation == "0.5", "files.ranges": generation != "0.5",
		"experiments.purge_batch": generation != "0.5", "experiments.move": generation == "0.7",
	} {
		if got := slices.Contains(resp.GetViewer().GetCapabilities(), capability); got != want {
			t.Errorf("capability %s: %t, want %t", capability, got, want)
		}
	}
}

// metrics compares GetMetrics with the Viewer's table and, where it is served,
// with the event file, and ListMetrics with GetMetrics.
func (r *release) metrics(t *testing.T) {
	r.ended(func(key string, run realviewer.Run) {
		ours, resp := getCells(t, r.s, "", run.RunID)
		r.cells[key] = maps.Clone(ours)
		r.wantListed(t, key, run, resp)
		if r.seeded.Version().HasPaths() {
			want := map[position]cell{}
			for _, row := range logOf(t, run).Merged() {
				for name, c := range row.Cells {
					if w, ok := cellOf(c.Value); ok {
						want[position{name, row.Step}] = w
					}
				}
			}
			if !maps.EqualFunc(want, ours, cell.isSame) {
				t.Errorf("%s: the event file and GetMetrics (-file +ours):\n%.2000s", key, cmp.Diff(want, ours))
			}
		}
		if key == realviewer.KeyFarSteps && resp.GetLinesWithoutStepCount() != 2 {
			t.Errorf("%d lines with steps beyond an int64, want 2", resp.GetLinesWithoutStepCount())
		}
		maps.DeleteFunc(ours, func(at position, c cell) bool {
			return !realviewer.InTable(at.Name) || c.Kind == "number" && (math.IsNaN(c.Value) || math.IsInf(c.Value, 0))
		})
		if theirs := tableOf(t, r.seeded.URL(), run.RunID); !maps.EqualFunc(theirs, ours, cell.isSame) {
			t.Errorf("%s: the Viewer's table and GetMetrics (-theirs +ours):\n%.2000s", key, cmp.Diff(theirs, ours))
		}
	})
	epochs := 0
	for at := range r.cells[realviewer.KeyEpochs] {
		if at.Name == "epoch" {
			epochs++
		}
	}
	if hasEvents := r.seeded.Version().HasPaths(); hasEvents && epochs != 10 || len(r.cells[realviewer.KeyEpochs]) == 0 {
		t.Errorf("%d epochs of %d cells", epochs, len(r.cells[realviewer.KeyEpochs]))
	}
}

// wantListed compares ListMetrics with the series of GetMetrics.
func (r *release) wantListed(t *testing.T, key string, run realviewer.Run, resp *runicornapiv1.GetMetricsResponse) {
	t.Helper()
	list, err := r.s.metrics.ListMetrics(t.Context(), &runicornapiv1.ListMetricsRequest{RunId: run.RunID})
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[string]int64{}, map[string]int64{}
	for _, s := range resp.GetSeries() {
		if n := len(s.GetSteps()); n > 0 {
			want[s.GetMetricName()+" "+s.GetKind().String()] = int64(n)
		}
	}
	for _, m := range list.GetMetrics() {
		if m.GetCount() > 0 {
			got[m.GetMetricName()+" "+m.GetKind().String()] = m.GetCount()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: GetMetrics and ListMetrics (-get +list):\n%s", key, diff)
	}
}

// stream reads histories: the last value of each cell is that of GetMetrics.
func (r *release) stream(t *testing.T) {
	r.ended(func(key string, run realviewer.Run) {
		stream, err := r.s.metrics.StreamMetrics(t.Context(), &runicornapiv1.StreamMetricsRequest{
			RunIds: []string{run.RunID}, Order: runicornapiv1.StreamOrder_STREAM_ORDER_MERGED,
		})
		if err != nil {
			t.Fatal(err)
		}
		got, trailer := map[position]cell{}, (*runicornapiv1.StreamTrailer)(nil)
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			trailer = m.GetTrailer()
			for _, s := range m.GetBatch().GetSeries() {
				addCells(got, s)
			}
		}
		if trailer.GetPointCount() != int64(len(got)) || !maps.EqualFunc(r.cells[key], got, cell.isSame) {
			t.Errorf("%s: GetMetrics and StreamMetrics, trailer %v (-get +stream):\n%.2000s", key, trailer, cmp.Diff(r.cells[key], got))
		}
	})
}

// addCells adds the points of a series.
func addCells(cells map[position]cell, s *runicornapiv1.MetricSeries) {
	digits := make(map[uint32]string)
	for _, e := range s.GetExact() {
		digits[e.GetIndex()] = e.GetDecimal()
	}
	for i, step := range s.GetSteps() {
		c := cell{Text: digits[uint32(i)]} //nolint:gosec // an index
		if s.GetKind() == runicornapiv1.MetricKind_METRIC_KIND_TEXT {
			c = tailedCell(s.GetKind(), s.GetTexts()[i], math.NaN())
		} else {
			c.Kind, c.Value = tailedCell(s.GetKind(), "", 0).Kind, s.GetValues()[i]
		}
		cells[position{s.GetMetricName(), step}] = c
	}
}

// tail follows a run that grows and finishes, and runs that have ended.
func (r *release) tail(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // each poll reads whole tables
	defer cancel()
	keys := []string{realviewer.KeyHeld, realviewer.KeyBig, realviewer.KeyFarSteps, realviewer.KeyEpochs}
	clients := make([]*tailer, len(keys))
	var working sync.WaitGroup
	for i, key := range keys {
		clients[i] = &tailer{
			runID: r.seeded.Manifest.Runs[key].RunID, isExact: r.seeded.Version().HasPaths(),
			random: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // a choice of one server
		}
		working.Go(func() { clients[i].err = clients[i].follow(ctx, []*server{r.s}) })
	}
	for step := range int64(5) {
		if err := r.seeded.Trainer.Log(ctx, realviewer.KeyHeld, step, fmt.Sprintf(`{"loss": %d.5, "text": "at %d"}`, step, step)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.seeded.Trainer.Finish(ctx, realviewer.KeyHeld, "finished"); err != nil {
		t.Fatal(err)
	}
	working.Wait()
	for i, key := range keys {
		if clients[i].err != nil {
			t.Fatalf("%s: %v", key, clients[i].err)
		}
		r.wantTailed(t, key, clients[i])
	}
}

func (r *release) wantTailed(t *testing.T, key string, c *tailer) {
	t.Helper()
	if c.isExact {
		c.wantLog(t, r.seeded.Manifest.Runs[key].EventFile)
	} else {
		c.wantTable(t, r.seeded.URL())
	}
	if len(c.points)+len(c.cells) == 0 {
		t.Errorf("%s: the tail had no points", key)
	}
}

// compared are runs that have the metric accuracy.
var compared = []string{realviewer.KeyBasic, realviewer.KeyBig, realviewer.KeyRewrites}

func (r *release) runIDs(keys []string) (ids []string) {
	for _, key := range keys {
		ids = append(ids, r.seeded.Manifest.Runs[key].RunID)
	}
	return ids
}

func (r *release) compare(t *testing.T) {
	resp, err := r.s.metrics.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{
		RunIds: r.runIDs(compared), MetricNames: []string{"accuracy"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !resp.GetComplete() || len(resp.GetComparisons()) != 1 || len(resp.GetComparisons()[0].GetSeries()) != len(compared) {
		t.Fatalf("complete %t, not read %v, %d comparisons", resp.GetComplete(), resp.GetNotRead(), len(resp.GetComparisons()))
	}
	axis := resp.GetComparisons()[0].GetSteps()
	for _, s := range resp.GetComparisons()[0].GetSeries() {
		for _, key := range compared {
			if s.GetRunId() != r.seeded.Manifest.Runs[key].RunID {
				continue
			}
			n := 0
			for at := range r.cells[key] {
				if at.Name == "accuracy" {
					n++
				}
			}
			if n != len(s.GetRows()) {
				t.Errorf("%s: %d values, want %d", key, len(s.GetRows()), n)
			}
			for i, row := range s.GetRows() {
				if want := r.cells[key][position{"accuracy", axis[row]}].Value; s.GetValues()[i] != want {
					t.Errorf("%s: step %d is %v, want %v", key, axis[row], s.GetValues()[i], want)
				}
			}
		}
	}
}

func (r *release) best(t *testing.T) {
	resp, err := r.s.metrics.FindBestExperiment(t.Context(), &runicornapiv1.FindBestExperimentRequest{
		RunIds: r.runIDs(compared), MetricName: "accuracy",
	})
	if err != nil {
		t.Fatal(err)
	}
	best, bestKey := math.Inf(-1), ""
	for _, key := range compared {
		last, value := int64(math.MinInt64), 0.0
		for at, c := range r.cells[key] {
			if at.Name == "accuracy" && at.Step > last {
				last, value = at.Step, c.Value
			}
		}
		if value > best {
			best, bestKey = value, key
		}
	}
	if !resp.GetComplete() || resp.GetExperiment().GetRunId() != r.seeded.Manifest.Runs[bestKey].RunID || resp.GetValue() != best {
		t.Errorf("complete %t, %s with %v, want %s (%s) with %v", resp.GetComplete(),
			resp.GetExperiment().GetRunId(), resp.GetValue(), r.seeded.Manifest.Runs[bestKey].RunID, bestKey, best)
	}
}

// experiments lists all runs, in full, and gets each.
func (r *release) experiments(t *testing.T) {
	page, err := r.s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{
		PageSize: 1000, View: runicornapiv1.ExperimentView_EXPERIMENT_VIEW_FULL,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(page.GetExperiments()), len(r.seeded.Manifest.Runs); got != want {
		t.Errorf("%d experiments, want %d", got, want)
	}
	listed := map[string]*runicornapiv1.Experiment{}
	for _, e := range page.GetExperiments() {
		listed[e.GetRunId()] = e
	}
	r.ended(func(key string, run realviewer.Run) {
		resp, err := r.s.experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{RunId: run.RunID})
		if err != nil {
			t.Errorf("%s: %v", key, err)
			return
		}
		for _, e := range []*runicornapiv1.Experiment{listed[run.RunID], resp.GetExperiment()} {
			checkListed(t, key, "default", run, e)
			switch {
			case !r.seeded.Version().HasPaths():
				if !hasMissing(e, "summary") {
					t.Errorf("%s: the summary, which 0.5 does not serve, is not named as missing", key)
				}
			case len(e.GetMissing()) > 0:
				t.Errorf("%s: missing %v", key, e.GetMissing())
			case run.Status == "finished" && e.GetEndTime() == nil || e.GetMetadata()["hostname"].GetText() == "":
				t.Errorf("%s: no end_time, or no hostname in the metadata", key)
			}
		}
	})
}
