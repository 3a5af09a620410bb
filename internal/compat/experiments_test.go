package compat

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func TestAnExperimentHasTheNamesOfTheClientsModel(t *testing.T) {
	t.Parallel()
	b := &backend{unary: func(proto.Message) (proto.Message, error) {
		return &runicornapiv1.GetExperimentResponse{Experiment: &runicornapiv1.Experiment{
			Viewer: "v", RunId: "r", ResourceName: "viewers/v/experiments/r", Project: "vision", Name: "a/b", Path: "vision/a/b",
			Status: runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_OTHER, ViewerStatus: "completed",
			CreateTime: noon, StartTime: noon, UpdateTime: noon, Duration: durationpb.New(1.5e9),
			BestMetric: &runicornapiv1.BestMetric{MetricName: "loss", Value: new(math.NaN())},
			Summary: map[string]*runicornapiv1.Value{
				"nan": {Kind: &runicornapiv1.Value_Number{Number: math.NaN()}}, "big": {Kind: &runicornapiv1.Value_Integer{Integer: 1<<60 + 1}},
				"list": {Kind: &runicornapiv1.Value_Json{Json: `[1, null]`}}, "odd": {Kind: &runicornapiv1.Value_Json{Json: `[NaN]`}},
				"flag": {Kind: &runicornapiv1.Value_Boolean{Boolean: true}}, "text": {Kind: &runicornapiv1.Value_Text{Text: "学"}}, "none": {},
			},
			Missing: []*runicornapiv1.MissingPart{{Field: "metadata"}},
		}}, nil
	}}
	got := mustSend(t, "GET", b.serve(t)+"/api/runs/viewers/v/experiments/r", "")
	sameJSON(t, got.body, `{"id": "r", "viewer": "v", "resource_name": "viewers/v/experiments/r", "project": "vision", "name": "a-b",
		"path": "vision/a/b", "alias": null, "tags": [], "status": "completed", "created_at": 1795446662.5, "updated_at": 1795446662.5,
		"best_metric_name": "loss", "best_metric_value": null, "pid": null, "started_at": 1795446662.5, "ended_at": null, "duration": 1.5,
		"summary": {"nan": null, "big": 1152921504606846977, "list": [1, null], "odd": "[NaN]", "flag": true, "text": "学", "none": null},
		"metadata": {}, "missing": ["metadata"]}`)
	if req := b.calls[0].(*runicornapiv1.GetExperimentRequest); req.GetRunId() != "viewers/v/experiments/r" {
		t.Errorf("run id %q: a resource name must arrive whole", req.GetRunId())
	}
}

// stored are 2,500 experiments, so that a list has several pages. Every fifth
// is called with a slash.
func stored(req *runicornapiv1.ListExperimentsRequest) *runicornapiv1.ListExperimentsResponse {
	from, _ := strconv.Atoi(req.GetPageToken())
	to := min(from+int(req.GetPageSize()), 2500)
	resp := &runicornapiv1.ListExperimentsResponse{}
	for i := from; i < to; i++ {
		e := &runicornapiv1.Experiment{RunId: strconv.Itoa(i), Name: "a-b", Status: runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FINISHED}
		if i%5 == 0 {
			e.Name = "a/b"
		}
		if i == 2000 {
			e.Status, e.ViewerStatus = runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_OTHER, "completed"
		}
		if req.GetFilter() == "" || req.GetFilter() == "status = "+e.GetStatus().String() {
			resp.Experiments = append(resp.Experiments, e)
		}
	}
	if to < 2500 {
		resp.NextPageToken = strconv.Itoa(to)
	}
	return resp
}

func TestAListIsTheRequestedWindow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		query       string
		first, last string
		count       int
		calls       int
	}{
		"all of it, over its pages":              {"", "0", "2499", 2500, 3},
		"a page costs one call":                  {"?limit=10&offset=20", "20", "29", 10, 1},
		"beyond the end":                         {"?limit=10&offset=2495", "2495", "2499", 5, 3},
		"a name as the client sees it":           {"?name=a-b&limit=3", "0", "2", 3, 1},
		"a name as it was logged":                {"?name=a/b&offset=1", "5", "2495", 499, 3},
		"a status of a script's own":             {"?status=completed", "2000", "2000", 1, 3},
		"a status that nobody has":               {"?status=paused", "", "", 0, 3},
		"a documented status":                    {"?status=finished&limit=1", "0", "0", 1, 1},
		"a limit of nothing is none":             {"?limit=0", "0", "2499", 2500, 3},
		"a filter of a page that has no matches": {"?status=running", "", "", 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &backend{unary: func(req proto.Message) (proto.Message, error) {
				return stored(req.(*runicornapiv1.ListExperimentsRequest)), nil
			}}
			got := mustSend(t, "GET", b.serve(t)+"/api/experiments"+tt.query, "")
			var list struct{ Experiments []struct{ ID, Name string } }
			if err := json.Unmarshal([]byte(got.body), &list); err != nil {
				t.Fatalf("%v: %s", err, got.body)
			}
			first, last := "", ""
			for _, e := range list.Experiments {
				if first == "" {
					first = e.ID
				}
				last = e.ID
				if e.Name != "a-b" {
					t.Errorf("experiment %s is called %q", e.ID, e.Name)
				}
			}
			gotten := []any{first, last, len(list.Experiments), len(b.calls)}
			if diff := cmp.Diff([]any{tt.first, tt.last, tt.count, tt.calls}, gotten); diff != "" {
				t.Errorf("first, last, count, calls (-want +got):\n%s", diff)
			}
		})
	}
}
