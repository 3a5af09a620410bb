package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// addScored adds n runs with one line each: the metric acc is the number of the run.
func addScored(u *servicetest.Upstream, n int) []string {
	var ids []string
	for i := range n {
		ids = append(ids, u.AddRun(demotest.Run{
			Path: "p", Status: "finished", Created: servicetest.Day(1).Add(-time.Duration(i) * time.Minute),
			Events: []byte(servicetest.MetricsLine(1, fmt.Sprintf(`"acc": %d, "odd name": 1`, i))),
		}))
	}
	return ids
}

// TestSearchFindsTheBestOfAllRuns: the best one is the oldest of many.
func TestSearchFindsTheBestOfAllRuns(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen07)
	ids := addScored(h.Upstreams[0], 150)
	best, err := h.Metrics.FindBestExperiment(t.Context(), &runicornapiv1.FindBestExperimentRequest{MetricName: "acc"})
	if err != nil {
		t.Fatal(err)
	}
	if best.GetExperiment().GetRunId() != ids[149] || best.GetValue() != 149 || best.GetExaminedCount() != 150 || best.GetCandidateCount() != 150 ||
		!best.GetComplete() || best.GetOldestDigestTime() == nil {
		t.Errorf("got %v", best)
	}
	compared, err := h.Metrics.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{Filter: "metrics.acc.last >= 20", MetricNames: []string{"acc"}})
	if err != nil || len(compared.GetComparisons()[0].GetSeries()) != 130 || !compared.GetComplete() {
		t.Errorf("%d series, %v", len(compared.GetComparisons()[0].GetSeries()), err)
	}
	few, err := h.Metrics.FindBestExperiment(t.Context(), &runicornapiv1.FindBestExperimentRequest{MetricName: "acc", MaxRuns: 10})
	if err != nil || few.GetValue() != 9 || few.GetNotReadCount() != 140 || few.GetComplete() {
		t.Errorf("got %v, %v", few.GetValue(), err)
	}
}

// TestSearchDoesNotReadRunsThatTheListExcludes counts reads of files.
func TestSearchDoesNotReadRunsThatTheListExcludes(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen07)
	u := h.Upstreams[0]
	ids := addScored(u, 20)
	resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{
		Filter: "(status = FAILED AND metrics.acc.max > 0) OR (run_id = " + ids[3] + " AND NOT metrics.acc.max > 5)",
	})
	if err != nil || len(resp.GetExperiments()) != 1 {
		t.Fatalf("%v, %v", resp, err)
	}
	running := u.AddRun(demotest.Run{Path: "p", Events: []byte(servicetest.MetricsLine(1, `"acc": 1`))})
	resp, err = h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Filter: "NOT status = FINISHED AND NOT metrics.acc.max > 5"})
	if err != nil || len(resp.GetExperiments()) > 1 || len(resp.GetExperiments()) == 1 && resp.GetExperiments()[0].GetRunId() != running {
		t.Fatalf("%v, %v", resp, err)
	}
	if got := u.Requests("GET /api/runs/{run_id}/assets/download"); got > 2 {
		t.Errorf("%d files were read, want those of two runs", got)
	}
}

// TestSearchReturnsPartialResults: what was not read yet is reported, and returned later.
func TestSearchReturnsPartialResults(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen06)
	addScored(h.Upstreams[0], 3)
	req := &runicornapiv1.ListExperimentsRequest{Filter: "metrics.acc:*", MetricNames: []string{"*"}, AllowPartial: true}
	first, err := h.Experiments.ListExperiments(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if n := first.GetNotReadCount(); n == 0 || first.GetComplete() || first.TotalSize != nil || len(first.GetNotRead()) != int(n) {
		t.Errorf("got %v", first)
	}
	for {
		resp, err := h.Experiments.ListExperiments(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetComplete() {
			if e := resp.GetExperiments(); len(e) != 3 || len(e[0].GetMetrics()) != 2 || e[0].GetMetrics()[1].GetMetricName() != "odd name" {
				t.Errorf("got %v", e)
			}
			break
		}
	}
	viewer, err := h.Viewers.GetViewer(t.Context(), &runicornapiv1.GetViewerRequest{})
	if s := viewer.GetViewer().GetSearch(); err != nil || s.GetExperimentCount() != 3 || s.GetDigestedCount() != 3 || s.GetBytes() == 0 || s.GetOldestDigestTime() == nil {
		t.Errorf("got %v, %v", s, err)
	}
}

// TestSearchReportsWhatCannotBeRead: such a run is not selected, not by NOT either.
func TestSearchReportsWhatCannotBeRead(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen06)
	u := h.Upstreams[0]
	ids := addScored(u, 3)
	u.Replace(func(w http.ResponseWriter, r *http.Request) bool {
		isOfRun := strings.HasPrefix(r.URL.Path, "/api/runs/"+ids[1]+"/")
		if isOfRun {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return isOfRun
	})
	for _, filter := range []string{"metrics.acc:*", "NOT metrics.none:*"} {
		resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Filter: filter})
		if err != nil || len(resp.GetExperiments()) != 2 || resp.GetComplete() || len(resp.GetNotRead()) != 1 || resp.GetNotRead()[0].GetRunId() != ids[1] {
			t.Errorf("%s: %v, %v", filter, resp, err)
		}
	}
}

// TestSearchInWatches: an experiment begins to match because of its metrics, which are
// included.
func TestSearchInWatches(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen07)
	u := h.Upstreams[0]
	id := u.AddRun(demotest.Run{Path: "p", Events: []byte(servicetest.MetricsLine(1, `"acc": 0.5`))})
	addScored(u, 2)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stream, err := h.Experiments.WatchExperiments(ctx, &runicornapiv1.WatchExperimentsRequest{Filter: "status = RUNNING AND metrics.acc.last > 0.6", MetricNames: []string{"acc"}})
	if err != nil {
		t.Fatal(err)
	}
	appended := 0
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case m.GetSnapshot() != nil:
			t.Fatalf("the snapshot has %v", m)
		case m.GetSynced() != nil:
			appended++
			err = u.AppendEvents(id, []byte(servicetest.MetricsLine(2, `"acc": 0.7`)))
		case m.GetCreated() != nil:
			if got := m.GetCreated().GetMetrics(); len(got) != 1 || got[0].GetLastValue().GetNumber() != 0.7 {
				t.Errorf("got %v", got)
			}
			err = u.AppendEvents(id, []byte(servicetest.MetricsLine(3, `"acc": 0.8`)))
		case m.GetUpdated() != nil && m.GetUpdated().GetMetrics()[0].GetLastValue().GetNumber() == 0.8:
			err = u.AppendEvents(id, []byte(servicetest.MetricsLine(4, `"acc": 0.1`)))
		case m.GetDeleted() != nil:
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSearchInTailsAndExports: they select by what runs measure.
func TestSearchInTailsAndExports(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen06)
	ids := addScored(h.Upstreams[0], 5)
	tail, err := h.Metrics.TailMetrics(t.Context(), &runicornapiv1.TailMetricsRequest{
		Filter: "metrics.acc.last >= 3", Until: runicornapiv1.TailUntil_TAIL_UNTIL_RUN_FINISHED,
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := map[string]bool{}
	for {
		m, err := tail.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.GetEnd() != nil {
			ended[m.GetRunId()] = true
		}
	}
	if len(ended) != 2 || !ended[ids[3]] || !ended[ids[4]] {
		t.Errorf("the tail had %v", ended)
	}
	export, err := h.Experiments.ExportExperiment(t.Context(), &runicornapiv1.ExportExperimentRequest{Filter: "metrics.acc.last = 2", Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for {
		m, err := export.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text.Write(m.GetChunk())
	}
	if strings.Count(text.String(), `"acc":`) != 1 || !strings.Contains(text.String(), `"acc":2,`) {
		t.Errorf("the export has %s", text.String())
	}
}

// TestSearchSendsAsManyMetricsAsFit requests all metrics of runs that have more than fit
// into a message: pages end early, and a run that alone has too many reports it.
func TestSearchSendsAsManyMetricsAsFit(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen07)
	for i, rows := range []int{15, 15, 15, 90} {
		var events []byte
		for row := range rows {
			events = fmt.Appendf(events, `{"ts": 1.5, "type": "metrics", "data": {"global_step": %d`, row)
			for m := range 200 {
				events = fmt.Appendf(events, `, "%s%d/%d": 1`, strings.Repeat("n", 200), row, m)
			}
			events = append(events, "}}\n"...)
		}
		h.Upstreams[0].AddRun(demotest.Run{Path: "p", Status: "finished", Created: servicetest.Day(i + 1), Events: events})
	}
	var sizes []int
	req := &runicornapiv1.ListExperimentsRequest{MetricNames: []string{"*"}, OrderBy: "create_time"}
	for {
		resp, err := h.Experiments.ListExperiments(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range resp.GetExperiments() {
			sizes = append(sizes, len(e.GetMetrics()))
			if isLarge := len(sizes) == 4; isLarge != (len(e.GetMissing()) == 1 && e.GetMissing()[0].GetField() == "metrics") {
				t.Errorf("run %d: missing %v", len(sizes), e.GetMissing())
			}
		}
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			break
		}
		if n := len(resp.GetExperiments()); n > 3 {
			t.Errorf("a page of %d", n)
		}
	}
	if !slices.Equal(sizes, []int{3000, 3000, 3000, 0}) {
		t.Errorf("metrics of the runs: %v", sizes)
	}
}

// TestListsHaveTheMetricsOfListMetrics compares the metrics of a list with those of
// ListMetrics, in every generation. A double holds 2^60, but not 2^60+1.
func TestListsHaveTheMetricsOfListMetrics(t *testing.T) {
	for _, generation := range demotest.Generations() {
		t.Run(string(generation), func(t *testing.T) {
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, generation)
			id := h.Upstreams[0].AddRun(demotest.Run{Path: "p", Project: "p", Name: "n", Status: "finished", Created: servicetest.Day(1), Events: []byte(
				servicetest.MetricsLine(1, `"acc": 0.5, "even": 1, "odd": 2, "small": 3, "ok": true, "stage": "warmup"`) +
					servicetest.MetricsLine(2, `"acc": 0.25, "even": 1152921504606846976, "odd": 1152921504606846977, "small": -4, "ok": false, "stage": "main"`))})
			list, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{MetricNames: []string{"*"}})
			if err != nil || len(list.GetExperiments()) != 1 {
				t.Fatalf("%v, %v", list, err)
			}
			want, err := h.Metrics.ListMetrics(t.Context(), &runicornapiv1.ListMetricsRequest{RunId: id})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.GetMetrics(), list.GetExperiments()[0].GetMetrics(), protocmp.Transform()); diff != "" {
				t.Errorf("metrics of the list (-ListMetrics +ListExperiments):\n%s", diff)
			}
			if even := want.GetMetrics()[1]; even.GetMetricName() != "even" || even.GetLastValue().GetInteger() != 1<<60 {
				t.Errorf("got %v, want the integer 2^60", even)
			}
		})
	}
}
