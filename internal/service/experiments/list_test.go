package experiments

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

func TestListExperimentsFilters(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen06)
	servicetest.AddSix(h.Upstreams[0])
	for _, tt := range []struct {
		name string
		req  *runicornapiv1.ListExperimentsRequest
		want string
	}{
		{"nothing set: all, the newest first, ties by id", &runicornapiv1.ListExperimentsRequest{}, "564321"},
		{"project", &runicornapiv1.ListExperimentsRequest{Filter: "project = vision"}, "321"},
		{"name", &runicornapiv1.ListExperimentsRequest{Filter: `name = "bert/large"`}, "56"},
		{"project and name", &runicornapiv1.ListExperimentsRequest{Filter: `project = vision AND name = "resnet"`}, "21"},
		{"a path prefix is whole segments", &runicornapiv1.ListExperimentsRequest{Filter: `path:"vision"`}, "321"},
		{"a path prefix may end in a slash", &runicornapiv1.ListExperimentsRequest{Filter: `path:"nlp/bert/"`}, "56"},
		{"any of the statuses", &runicornapiv1.ListExperimentsRequest{Filter: "(status = RUNNING OR status = FAILED)"}, "32"},
		{"a status of its own", &runicornapiv1.ListExperimentsRequest{Filter: "status = OTHER"}, "4"},
		{"all of the tags", &runicornapiv1.ListExperimentsRequest{Filter: "tags:gpu AND tags:big"}, "1"},
		{"a text in an alias, whatever its case", &runicornapiv1.ListExperimentsRequest{Filter: `"АЛЬФА"`}, "5"},
		{"a text in a path", &runicornapiv1.ListExperimentsRequest{Filter: `"resn"`}, "21"},
		{"a text in a tag", &runicornapiv1.ListExperimentsRequest{Filter: `"gp"`}, "1"},
		{"a text in an id", &runicornapiv1.ListExperimentsRequest{Filter: `"20260304"`}, "4"},
		{"created at or after", &runicornapiv1.ListExperimentsRequest{Filter: "create_time >= 2026-03-04"}, "564"},
		{"created before", &runicornapiv1.ListExperimentsRequest{Filter: "create_time < 2026-03-02"}, "1"},
		{"all filters must hold", &runicornapiv1.ListExperimentsRequest{Filter: `project = vision AND tags:big AND "base"`}, "1"},
		{"none matches", &runicornapiv1.ListExperimentsRequest{Filter: "project = none"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := h.Experiments.ListExperiments(t.Context(), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			if got := servicetest.ShortIDs(resp.GetExperiments()); got != tt.want || resp.GetTotalSize() != int32(len(tt.want)) {
				t.Errorf("got %q of %d, want %q", got, resp.GetTotalSize(), tt.want)
			}
			if resp.GetReadTime().AsTime().IsZero() || resp.GetNextPageToken() != "" {
				t.Errorf("got read time %v and token %q", resp.GetReadTime(), resp.GetNextPageToken())
			}
		})
	}
	if got := h.Upstreams[0].Requests("GET /api/runs"); got > 2 {
		t.Errorf("the list was read %d times, want the shared one", got)
	}
}

func TestListExperimentsOrders(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen06)
	servicetest.AddSix(h.Upstreams[0])
	for order, want := range map[string]string{
		"":                          "564321",
		"create_time":               "123456",
		"create_time desc":          "564321",
		"run_id desc":               "654321",
		"path":                      "563124",
		"project":                   "561234",
		"name":                      "564123", // r3 has none
		"name desc":                 "124563", // and is last again
		"alias":                     "152346",
		"alias desc":                "512346",
		"status":                    "315624",
		"status desc":               "421563",
		"best_metric":               "123456",
		"name asc":                  "564123",
		"status, name":              "356124",
		"project desc, create_time": "412356",
	} {
		t.Run("by "+order, func(t *testing.T) {
			resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{OrderBy: order})
			if err != nil {
				t.Fatal(err)
			}
			if got := servicetest.ShortIDs(resp.GetExperiments()); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	for _, order := range []string{"size", "name up", "name desc desc", "NAME", "name,", "tags", "summary", "metrics.acc", "a,b,c,d,e"} {
		_, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{OrderBy: order})
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
		bad, _ := apierrtest.DetailOf[*errdetails.BadRequest](status.Convert(err))
		if got := bad.GetFieldViolations(); len(got) != 1 || got[0].GetField() != "order_by" {
			t.Errorf("order %q: got violations %v, want order_by", order, got)
		}
	}
}

func TestListExperimentsPagesOverAllViewersWithoutShifts(t *testing.T) {
	h := newHarness(t)
	all, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Viewer: "-", PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	names := func(experiments []*runicornapiv1.Experiment) []string {
		var out []string
		for _, e := range experiments {
			out = append(out, e.GetResourceName())
		}
		return out
	}
	want := names(all.GetExperiments())
	if len(want) < 12 || int(all.GetTotalSize()) != len(want) {
		t.Fatalf("got %d experiments of %d", len(want), all.GetTotalSize())
	}
	var got []string
	req := &runicornapiv1.ListExperimentsRequest{Viewer: "-", PageSize: 4}
	for page := 0; page == 0 || req.GetPageToken() != ""; page++ {
		resp, err := h.Experiments.ListExperiments(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, names(resp.GetExperiments())...)
		req.PageToken = resp.GetNextPageToken()
		if page == 0 { // newer than all: it belongs before the first page
			h.Upstreams[2].AddRun(demotest.Run{Path: "new/run", Created: time.Now()})
			for _, v := range h.Config.Fleet.Configured() {
				v.Client.InvalidateRuns()
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages differ from the whole list:\n%s", cmp.Diff(want, got))
	}
}

func TestListExperimentsNamesViewersThatDoNotAnswer(t *testing.T) {
	h := newHarness(t)
	list := func(viewer string) (*runicornapiv1.ListExperimentsResponse, error) {
		return h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Viewer: viewer, PageSize: 2})
	}
	first, err := list("-")
	if err != nil {
		t.Fatal(err)
	}
	h.Upstreams[1].Fail(http.StatusInternalServerError)
	h.Config.Fleet.Configured()[1].Client.InvalidateRuns()
	resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{
		Viewer: "-", PageSize: 1000, PageToken: first.GetNextPageToken(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if resp.TotalSize != nil || len(resp.GetUnreachable()) != 1 || resp.GetUnreachable()[0].GetViewer() != "v060" ||
		codes.Code(resp.GetUnreachable()[0].GetError().GetCode()) != codes.Internal { //nolint:gosec // a code
		t.Errorf("got total %v and unreachable %v, want v060 with INTERNAL", resp.TotalSize, resp.GetUnreachable())
	}
	for _, e := range resp.GetExperiments() {
		if e.GetViewer() == "v060" || slices.ContainsFunc(first.GetExperiments(), func(o *runicornapiv1.Experiment) bool {
			return o.GetResourceName() == e.GetResourceName()
		}) {
			t.Errorf("%s is on the page", e.GetResourceName())
		}
	}
	_, err = list("v060")
	apierrtest.WantError(t, err, codes.Internal, "VIEWER_ERROR")
	for i, u := range h.Upstreams {
		u.Fail(http.StatusServiceUnavailable)
		h.Config.Fleet.Configured()[i].Client.InvalidateRuns()
	}
	_, err = list("-")
	apierrtest.WantError(t, err, codes.Unavailable, "VIEWER_UNREACHABLE")
}

func TestListProjects(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen07, demotest.Gen05)
	servicetest.AddSix(h.Upstreams[0])
	h.Upstreams[1].AddRun(demotest.Run{Project: "vision", Name: "old", Status: "running", Created: servicetest.Day(9)})
	var got []string
	req := &runicornapiv1.ListProjectsRequest{Viewer: "-", PageSize: 2}
	for page := 0; page == 0 || req.GetPageToken() != ""; page++ {
		resp, err := h.Experiments.ListProjects(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetTotalSize() != 4 {
			t.Errorf("got total %d, want 4", resp.GetTotalSize())
		}
		for _, p := range resp.GetProjects() {
			got = append(got, fmt.Sprint(p.GetViewer(), " ", p.GetProject(), " ", p.GetUpdateTime().AsTime().Day(),
				" ", p.GetExperimentCount(), " ", p.GetRunningCount()))
		}
		req.PageToken = resp.GetNextPageToken()
	}
	want := []string{"v053 vision 9 1 1", "v072 nlp 5 2 0", "v072 vision 3 3 1", "v072 visions 4 1 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("projects (-want +got):\n%s", diff)
	}
}

// A page of large summaries would not fit into a message: it ends earlier, and the
// next one resumes after it.
func TestListExperimentsEndsAPageWhereTheMessageIsFull(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen06)
	summary := func(size int) []byte { return fmt.Appendf(nil, `{"notes": %q}`, strings.Repeat("n", size)) }
	const runs = 7
	for n := 1; n <= runs; n++ {
		h.Upstreams[0].AddRun(demotest.Run{
			ID: fmt.Sprintf("20260301_120000_00000%d", n), Path: "large", Status: "finished", Created: servicetest.Day(n), Summary: summary(1 << 20),
		})
	}
	req := &runicornapiv1.ListExperimentsRequest{View: runicornapiv1.ExperimentView_EXPERIMENT_VIEW_FULL, OrderBy: "create_time", PageSize: 5}
	var got []*runicornapiv1.Experiment
	pages := 0
	for {
		resp, err := h.Experiments.ListExperiments(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, resp.GetExperiments()...)
		pages++
		if resp.GetTotalSize() != runs || len(resp.GetExperiments()) > 2 {
			t.Errorf("page %d has %d of %d", pages, len(resp.GetExperiments()), resp.GetTotalSize())
		}
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	if servicetest.ShortIDs(got) != "1234567" || pages != 4 {
		t.Errorf("%d pages with %s", pages, servicetest.ShortIDs(got))
	}
	h.Upstreams[0].AddRun(demotest.Run{ID: "20260301_120000_000008", Path: "larger", Status: "finished", Created: servicetest.Day(8), Summary: summary(5 << 20)})
	wantMissing(t, get(t, h, "20260301_120000_000008", 0), codes.ResourceExhausted, "summary")
}
