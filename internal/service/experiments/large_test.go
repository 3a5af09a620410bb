package experiments

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// serveJSON answers a path of a Viewer with a value.
func serveJSON(t *testing.T, u *servicetest.Upstream, path string, value any) {
	t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	u.Replace(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // the client may have disconnected
		return true
	})
}

// TestNoListStopsAtAnEntryThatFitsIntoNoMessage: the entry is shortened.
func TestNoListStopsAtAnEntryThatFitsIntoNoMessage(t *testing.T) {
	const large = 5 << 20
	long := strings.Repeat("x", large)
	tags := slices.Repeat([]string{long[:1000]}, large/1000)
	for _, tt := range []struct {
		g     demotest.Generation
		field string
		run   map[string]any
	}{
		{demotest.Gen07, "alias", map[string]any{"path": "p", "alias": long}},
		{demotest.Gen06, "tags", map[string]any{"path": "p", "tags": tags}},
		{demotest.Gen06, "path", map[string]any{"path": "p/" + long}},
		{demotest.Gen05, "project", map[string]any{"project": long, "name": "n"}},
		{demotest.Gen05, "viewer_status", map[string]any{"path": "p", "status": long}},
	} {
		t.Run(fmt.Sprint(tt.g, " ", tt.field), func(t *testing.T) {
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, tt.g)
			u := h.Upstreams[0]
			run := func(n int, more map[string]any) map[string]any {
				all := map[string]any{"id": fmt.Sprintf("20260301_120000_00000%d", n), "run_dir": "/s", "created_time": 1795446662 + n, "deleted_at": 1795446662 + n, "status": "finished", "path": "p"}
				maps.Copy(all, more)
				if more["project"] != nil {
					delete(all, "path")
				}
				return all
			}
			all := []any{run(1, nil), run(2, tt.run), run(3, nil)}
			serveJSON(t, u, "/api/runs", all)
			req := &runicornapiv1.ListExperimentsRequest{OrderBy: "create_time", PageSize: 2}
			var got []*runicornapiv1.Experiment
			for {
				resp, err := h.Experiments.ListExperiments(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, resp.GetExperiments()...)
				if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
					break
				}
			}
			if servicetest.ShortIDs(got) != "123" {
				t.Fatalf("got %s", servicetest.ShortIDs(got))
			}
			missing := false
			for _, part := range got[1].GetMissing() {
				missing = missing || part.GetField() == tt.field && codes.Code(part.GetError().GetCode()) == codes.ResourceExhausted //nolint:gosec // a code
			}
			if !missing || len(got[0].GetMissing())+len(got[2].GetMissing()) > 0 {
				t.Errorf("missing: %v", got[1].GetMissing())
			}
			if _, err := h.Experiments.ListProjects(t.Context(), &runicornapiv1.ListProjectsRequest{}); err != nil {
				t.Error("projects:", err)
			}
			serveJSON(t, u, "/api/recycle-bin", map[string]any{"deleted_runs": all})
			bin, err := h.Experiments.ListDeletedExperiments(t.Context(), &runicornapiv1.ListDeletedExperimentsRequest{})
			if err != nil || len(bin.GetDeletedExperiments()) == 0 {
				t.Error("bin:", err)
			}
		})
	}
}

// exported is the answer of /api/paths/export for runs with a summary.
func exported(t *testing.T, u *servicetest.Upstream, runs []map[string]any) (requests func(path string) int) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"runs": runs})
	if err != nil {
		t.Fatal(err)
	}
	counts := make(chan map[string]int, 1)
	counts <- map[string]int{}
	u.Replace(func(w http.ResponseWriter, r *http.Request) bool {
		c := <-counts
		c[r.URL.Path]++
		if strings.HasSuffix(r.URL.Path, "/assets/download") {
			path := r.URL.Query().Get("path")
			c[path[strings.LastIndexByte(path, '/')+1:]]++
		}
		counts <- c
		if r.URL.Path != "/api/paths/export" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // the client may have disconnected
		return true
	})
	return func(path string) int {
		c := <-counts
		defer func() { counts <- c }()
		return c[path]
	}
}

// TestAFullPageOfManyRunsIsAFewRequests: on 0.6 each request about a run makes the Viewer
// read all runs.
func TestAFullPageOfManyRunsIsAFewRequests(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen06)
	u := h.Upstreams[0]
	const runs = 50
	var answer []map[string]any
	for n := range runs {
		id := fmt.Sprintf("20260301_120000_0000%02d", n)
		summary := fmt.Sprintf(`{"loss": %d}`, n)
		if n == 7 {
			summary = `{"loss": NaN}`
		}
		u.AddRun(demotest.Run{ID: id, Path: fmt.Sprintf("vision/net%d", n%3), Status: "finished", Created: servicetest.Day(1), Summary: []byte(summary)})
		entry := map[string]any{"run_id": id, "summary": map[string]any{"loss": n}, "meta": map[string]any{"hostname": "gpu1", "id": id}}
		if n == 7 {
			entry["summary"] = map[string]any{"loss": nil}
		}
		answer = append(answer, entry)
	}
	requests := exported(t, u, answer)
	list := func() []*runicornapiv1.Experiment {
		resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{View: runicornapiv1.ExperimentView_EXPERIMENT_VIEW_FULL, PageSize: runs})
		if err != nil || len(resp.GetExperiments()) != runs {
			t.Fatalf("%d experiments, %v", len(resp.GetExperiments()), err)
		}
		return resp.GetExperiments()
	}
	for _, e := range list() {
		wantMissing(t, e, codes.OK)
		n := e.GetRunId()[len(e.GetRunId())-2:]
		loss := e.GetSummary()["loss"]
		if got := fmt.Sprintf("%02d", loss.GetInteger()); (n != "07" && got != n) || (n == "07" && loss.GetNumber() == loss.GetNumber()) {
			t.Errorf("%s: summary %v", n, e.GetSummary())
		}
		if e.GetMetadata()["hostname"].GetText() != "gpu1" || e.GetStartTime() == nil {
			t.Errorf("%s: metadata %v, start %v", n, e.GetMetadata(), e.GetStartTime())
		}
	}
	if got := requests("/api/paths/export"); got != 1 {
		t.Errorf("%d exports", got)
	}
	if got := requests("summary.json"); got != 1 { // of the run with NaN
		t.Errorf("%d summaries were read one by one", got)
	}
	if got := requests("meta.json"); got != 0 {
		t.Errorf("%d metadata were read one by one", got)
	}
	first := requests("status.json")
	if list(); requests("status.json") != first || first != runs {
		t.Errorf("%d reads of status.json, then %d", first, requests("status.json"))
	}
}
