package experiments

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// find returns the first experiment of a Viewer that a filter selects.
func find(t *testing.T, h *servicetest.Harness, req *runicornapiv1.ListExperimentsRequest) *runicornapiv1.Experiment {
	t.Helper()
	resp, err := h.Experiments.ListExperiments(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.GetExperiments()) == 0 {
		t.Fatalf("no experiment matches %v", req)
	}
	return resp.GetExperiments()[0]
}

// get reads one experiment.
func get(t *testing.T, h *servicetest.Harness, name string, view runicornapiv1.ExperimentView) *runicornapiv1.Experiment {
	t.Helper()
	resp, err := h.Experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{RunId: name, View: view})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetExperiment()
}

func TestFullExperimentsAreCompleteOnEveryGeneration(t *testing.T) {
	h := newHarness(t)
	for _, u := range h.Upstreams {
		t.Run(u.Name, func(t *testing.T) {
			basic := find(t, h, &runicornapiv1.ListExperimentsRequest{Viewer: u.Name, Filter: "project = vision AND status = FINISHED"})
			e := get(t, h, basic.GetResourceName(), 0)
			if e.GetView() != runicornapiv1.ExperimentView_EXPERIMENT_VIEW_FULL || e.GetEtag() != basic.GetEtag() || e.GetEtag() == "" {
				t.Errorf("got view %v and etag %q, want FULL and %q", e.GetView(), e.GetEtag(), basic.GetEtag())
			}
			if e.GetProject() != "vision" || e.GetName() != "resnet" || e.GetPath() != "vision/resnet" || e.GetCreateTime() == nil ||
				e.GetViewerStatus() != "finished" || e.GetBestMetric().GetMetricName() != "val/accuracy" || e.GetBestMetric().Value == nil {
				t.Errorf("the list's fields are not all there: %v", e)
			}
			if u.Name == "v053" {
				wantMissing(t, e, codes.Unimplemented, "start_time", "end_time", "summary", "metadata")
				return
			}
			wantMissing(t, e, codes.OK)
			if e.GetAlias() != "baseline" || e.AssetCount == nil {
				t.Errorf("got alias %q, assets %v", e.GetAlias(), e.AssetCount)
			}
			if !math.IsNaN(e.GetSummary()["worst"].GetNumber()) || e.GetSummary()["params"].GetInteger() != 25557032 ||
				!e.GetSummary()["deterministic"].GetBoolean() || !strings.Contains(e.GetSummary()["layers"].GetJson(), "6") {
				t.Errorf("got summary %v", e.GetSummary())
			}
			if e.GetBestMetric().GetStep() != 60 || e.GetBestMetric().GetGoal() != runicornapiv1.Goal_GOAL_MAXIMIZE {
				t.Errorf("got best metric %v", e.GetBestMetric())
			}
			if e.GetEndTime().AsTime().Before(e.GetStartTime().AsTime()) || e.GetDuration().AsDuration() <= 0 ||
				!e.GetUpdateTime().AsTime().Equal(e.GetEndTime().AsTime()) {
				t.Errorf("got start %v, end %v, update %v, duration %v", e.GetStartTime(), e.GetEndTime(), e.GetUpdateTime(), e.GetDuration())
			}
			if e.GetMetadata()["hostname"].GetText() != "demo-host" || e.GetMetadata()["storage_dir"] != nil || e.GetMetadata()["workspace_root"] != nil {
				t.Errorf("got metadata %v", e.GetMetadata())
			}
			if text := protojson.Format(e); strings.Contains(text, "/demo/") {
				t.Errorf("a path of the Viewer's machine is shown: %s", text)
			}
		})
	}
}

// wantMissing checks which fields are reported as missing, and why.
func wantMissing(t *testing.T, e *runicornapiv1.Experiment, code codes.Code, fields ...string) {
	t.Helper()
	var got []string
	for _, part := range e.GetMissing() {
		got = append(got, part.GetField())
		if codes.Code(part.GetError().GetCode()) != code || len(part.GetError().GetDetails()) == 0 { //nolint:gosec // a code
			t.Errorf("%s is missing because of %v, want %v", part.GetField(), part.GetError(), code)
		}
	}
	if diff := cmp.Diff(fields, got); diff != "" {
		t.Errorf("missing parts (-want +got):\n%s", diff)
	}
}

func TestBasicCostsNothingWhileTheListIsFresh(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	u := h.Upstreams[0]
	e := find(t, h, &runicornapiv1.ListExperimentsRequest{})
	before := u.AllRequests()
	basic := get(t, h, e.GetRunId(), runicornapiv1.ExperimentView_EXPERIMENT_VIEW_BASIC)
	if diff := cmp.Diff(before, u.AllRequests()); diff != "" {
		t.Errorf("the Viewer was asked:\n%s", diff)
	}
	if !proto.Equal(basic, e) {
		t.Errorf("got %v, want what the list has: %v", basic, e)
	}
}

func TestARunThatIsNotListedIsFoundByItsID(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	u := h.Upstreams[0]
	want := find(t, h, &runicornapiv1.ListExperimentsRequest{Filter: `"baseline"`})
	u.Replace(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/runs" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[]"))
		return true
	})
	h.Config.Fleet.Configured()[0].Client.InvalidateRuns()
	for _, view := range []runicornapiv1.ExperimentView{1, 2} {
		e := get(t, h, want.GetRunId(), view)
		if e.GetPath() != want.GetPath() || e.GetAlias() != "baseline" {
			t.Errorf("view %v: got %v", view, e)
		}
		if view == 2 && (e.GetCreateTime().AsTime().Sub(want.GetCreateTime().AsTime()).Abs() > time.Second || e.GetBestMetric().Value == nil || len(e.GetMissing()) > 0) {
			t.Errorf("got create time %v, best metric %v, missing %v", e.GetCreateTime(), e.GetBestMetric(), e.GetMissing())
		}
	}
	_, err := h.Experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{RunId: servicetest.UnknownRun})
	info := apierrtest.WantError(t, err, codes.NotFound, "RUN_NOT_FOUND")
	if info.GetMetadata()["run_id"] != servicetest.UnknownRun || info.GetMetadata()["viewer"] != "v072" {
		t.Errorf("got metadata %v", info.GetMetadata())
	}
}

func TestPartsThatFailAreNamedAndOthersReturned(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	want := find(t, h, &runicornapiv1.ListExperimentsRequest{Filter: `"baseline"`})
	h.Upstreams[0].Replace(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/assets/download"):
			w.WriteHeader(http.StatusInternalServerError)
		case r.URL.Path == "/api/runs":
			w.WriteHeader(http.StatusForbidden)
		default:
			return false
		}
		return true
	})
	h.Config.Fleet.Configured()[0].Client.InvalidateRuns()
	e := get(t, h, want.GetRunId(), 0)
	fields := map[string]codes.Code{}
	for _, part := range e.GetMissing() {
		fields[part.GetField()] = codes.Code(part.GetError().GetCode()) //nolint:gosec // a code
	}
	wantFields := map[string]codes.Code{
		"create_time": codes.PermissionDenied, "tags": codes.PermissionDenied, "best_metric": codes.PermissionDenied,
		"end_time": codes.Internal, "metadata": codes.Internal,
	}
	if diff := cmp.Diff(wantFields, fields); diff != "" {
		t.Errorf("missing parts (-want +got):\n%s", diff)
	}
	if e.GetSummary()["params"].GetInteger() != 25557032 || e.GetSummary()["worst"].GetJson() != "null" || e.GetStartTime() == nil {
		t.Errorf("what 0.7 says in the detail is not used: %v", e)
	}
}

func TestFullListsRespectTheCallersDeadline(t *testing.T) {
	h := newHarness(t, demotest.Gen06)
	h.Upstreams[0].Replace(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/assets/download") {
			<-r.Context().Done() // for ever
			return true
		}
		return false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	resp, err := h.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{View: runicornapiv1.ExperimentView_EXPERIMENT_VIEW_FULL})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range resp.GetExperiments() {
		if len(e.GetMissing()) == 0 || e.GetCreateTime() == nil {
			t.Errorf("%s: got missing %v", e.GetRunId(), e.GetMissing())
		}
	}
}

func TestExperimentsOfEveryShapeAreConverted(t *testing.T) {
	for _, tt := range []struct {
		name string
		list string // one item of a Viewer's list
		want string
	}{
		{
			"0.5: the path is made of project and name",
			`{"id":"a","project":"edge","name":"empty","status":"running","pid":7,"created_time":1795446662.5,"artifacts_created_count":3}`,
			`{"viewer":"v","run_id":"a","resource_name":"viewers/v/experiments/a","project":"edge","name":"empty","path":"edge/empty",
			"status":"EXPERIMENT_STATUS_RUNNING","viewer_status":"running","create_time":"2026-11-23T15:11:02.500Z","update_time":"2026-11-23T15:11:02.500Z",
			"process_id":"7","created_artifact_count":3}`,
		},
		{
			"0.6: project and name are made of the path; a best value of NaN is a name without a value",
			`{"id":"b","path":"a/b/c","alias":"x","tags":["t","u"],"status":"completed","best_metric_name":"loss","best_metric_value":null,"assets_count":0}`,
			`{"viewer":"v","run_id":"b","resource_name":"viewers/v/experiments/b","project":"a","name":"b/c","path":"a/b/c","alias":"x","tags":["t","u"],
			"status":"EXPERIMENT_STATUS_OTHER","viewer_status":"completed","best_metric":{"metric_name":"loss"},"asset_count":0}`,
		},
		{
			"a path of one segment is a project, and a best value of zero is a value",
			`{"id":"c","path":"solo","alias":null,"tags":[],"status":"failed","best_metric_name":"loss","best_metric_value":0}`,
			`{"viewer":"v","run_id":"c","resource_name":"viewers/v/experiments/c","project":"solo","path":"solo",
			"status":"EXPERIMENT_STATUS_FAILED","viewer_status":"failed","best_metric":{"metric_name":"loss","value":0}}`,
		},
		{
			"no path at all",
			`{"id":"d","path":"","status":"interrupted"}`,
			`{"viewer":"v","run_id":"d","resource_name":"viewers/v/experiments/d","status":"EXPERIMENT_STATUS_INTERRUPTED","viewer_status":"interrupted"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, script := servicetest.NewScripted(t, servicetest.Setup{Register: register(nil)}, nil)
			script.Reply = servicetest.RespondWith(http.StatusOK, "application/json", "["+tt.list+"]")
			list, err := h.Config.Fleet.Configured()[0].Client.Runs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := runs.BasicExperiment("v", &list.Runs[0], list.Lossy)
			if got.GetEtag() == "" {
				t.Error("no etag")
			}
			got.Etag, got.View = "", 0
			wantJSON(t, got, tt.want)
		})
	}
}

// wantJSON compares a message with its JSON.
func wantJSON(t *testing.T, got proto.Message, want string) {
	t.Helper()
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, a); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func TestTheEtagChangesWithEveryFieldOfTheList(t *testing.T) {
	base := restclient.Run{ID: "a", Path: restclient.Text{Value: "p/n", Known: true}}
	etags := map[string]bool{runs.BasicExperiment("v", &base, false).GetEtag(): true}
	for _, change := range []func(*restclient.Run){
		func(r *restclient.Run) { r.Path.Value = "p/m" },
		func(r *restclient.Run) { r.Alias.Value = "x" },
		func(r *restclient.Run) { r.Tags = []restclient.Text{{Value: "x"}} },
		func(r *restclient.Run) { r.Status.Value = "running" },
		func(r *restclient.Run) { r.CreatedTime.Time = servicetest.Day(1) },
		func(r *restclient.Run) { r.BestMetricName = restclient.Text{Value: "m", Known: true} },
		func(r *restclient.Run) { r.PID = restclient.Int{Value: 1, Known: true} },
		func(r *restclient.Run) { r.Assets = restclient.Int{Value: 1, Known: true} },
	} {
		run := base
		change(&run)
		if etag := runs.BasicExperiment("v", &run, false).GetEtag(); etags[etag] {
			t.Errorf("the etag of %+v is not new", run)
		} else {
			etags[etag] = true
		}
	}
}

// FuzzAnyUpstreamBytesMarshal checks that any response of a Viewer about a run can be
// encoded in protobuf and in JSON.
func FuzzAnyUpstreamBytesMarshal(f *testing.F) {
	f.Add("id", "path/x", "alias", "tag", "status", "\xff\xfe")
	f.Add("\xff", "\xff/\xff", "\xed\xa0\x80", "", "\x00", "{}")
	f.Fuzz(func(t *testing.T, id, path, alias, tag, status, value string) {
		run := restclient.Run{
			ID: id, Path: restclient.Text{Value: path, Known: true}, Alias: restclient.Text{Value: alias, Known: true},
			Tags: []restclient.Text{{Value: tag}}, Status: restclient.Text{Value: status},
			BestMetricName: restclient.Text{Value: value, Known: true}, BestMetricValue: restclient.Float{Value: math.NaN(), Known: true},
		}
		e := runs.BasicExperiment("v", &run, true)
		e.Summary = convert.Values(restclient.Values{value: {Kind: restclient.ValueJSON, Text: value}, id: {Kind: restclient.ValueText, Text: path}})
		if _, err := proto.Marshal(e); err != nil {
			t.Errorf("protobuf: %v", err)
		}
		if _, err := protojson.Marshal(e); err != nil {
			t.Errorf("JSON: %v", err)
		}
	})
}
