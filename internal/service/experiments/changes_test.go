package experiments

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// outcome is the reason of a result's status, or OK.
func outcome(st *rpcstatus.Status) string {
	if st.GetCode() == int32(codes.OK) {
		return "OK"
	}
	info, _ := apierrtest.DetailOf[*errdetails.ErrorInfo](status.FromProto(st))
	return info.GetReason()
}

// outcomes are those of several results, in their order.
func outcomes(results []*runicornapiv1.ExperimentResult) (out []string) {
	for _, r := range results {
		out = append(out, r.GetRunId()+" "+outcome(r.GetError()))
	}
	return out
}

func TestDeleteRestoreAndTheBin(t *testing.T) {
	for _, generation := range demotest.Generations() {
		t.Run(string(generation), func(t *testing.T) {
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, generation)
			u := h.Upstreams[0]
			servicetest.AddSix(u)
			deleted, err := h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{
				RunIds: []string{servicetest.SixIDs[0], "my-run", servicetest.UnknownRun, target.ResourceName(u.Name, servicetest.SixIDs[1]), target.ResourceName("gone", servicetest.SixIDs[2]), target.ResourceName(u.Name, servicetest.SixIDs[0])},
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{
				servicetest.SixIDs[0] + " OK", "my-run INVALID_REQUEST", servicetest.UnknownRun + " RUN_NOT_FOUND", target.ResourceName(u.Name, servicetest.SixIDs[1]) + " OK",
				target.ResourceName("gone", servicetest.SixIDs[2]) + " VIEWER_NOT_FOUND", target.ResourceName(u.Name, servicetest.SixIDs[0]) + " OK",
			}
			if diff := cmp.Diff(want, outcomes(deleted.GetResults())); diff != "" {
				t.Errorf("results of delete (-want +got):\n%s", diff)
			}
			bin, err := h.Experiments.ListDeletedExperiments(t.Context(), &runicornapiv1.ListDeletedExperimentsRequest{Viewer: "-", PageSize: 1})
			if err != nil {
				t.Fatal(err)
			}
			if bin.GetTotalSize() != 2 || len(bin.GetDeletedExperiments()) != 1 || bin.GetNextPageToken() == "" {
				t.Fatalf("got bin %v", bin)
			}
			first := bin.GetDeletedExperiments()[0]
			if first.GetDeleteReason() != "user_deleted" || first.GetDeleteTime() == nil || first.GetExperiment().GetProject() != "" && first.GetExperiment().GetProject() != "vision" {
				t.Errorf("got %v", first)
			}
			restored, err := h.Experiments.RestoreExperiments(t.Context(), &runicornapiv1.RestoreExperimentsRequest{RunIds: []string{servicetest.SixIDs[0], servicetest.SixIDs[5], servicetest.UnknownRun}})
			if err != nil {
				t.Fatal(err)
			}
			want = []string{servicetest.SixIDs[0] + " OK", servicetest.SixIDs[5] + " STATE_CONFLICT", servicetest.UnknownRun + " RUN_NOT_FOUND"}
			if diff := cmp.Diff(want, outcomes(restored.GetResults())); diff != "" {
				t.Errorf("results of restore (-want +got):\n%s", diff)
			}
			left, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{OrderBy: "run_id"})
			if err != nil {
				t.Fatal(err)
			}
			if got := servicetest.ShortIDs(left.GetExperiments()); got != "13456" {
				t.Errorf("got %q left, want 13456: the list must not be older than our own change", got)
			}
		})
	}
}

func TestAChangeOfSeveralViewersIsOKIfOneAnswers(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen06, demotest.Gen07)
	for _, u := range h.Upstreams {
		servicetest.AddSix(u)
	}
	h.Upstreams[1].Fail(http.StatusForbidden)
	ids := []string{target.ResourceName("v072", servicetest.SixIDs[0]), target.ResourceName("v060", servicetest.SixIDs[0])}
	resp, err := h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{RunIds: ids})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{ids[0] + " VIEWER_FORBIDDEN", ids[1] + " OK"}, outcomes(resp.GetResults())); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	_, err = h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{Viewer: "v072", RunIds: servicetest.SixIDs[1:2]})
	apierrtest.WantError(t, err, codes.PermissionDenied, "VIEWER_FORBIDDEN")
	_, err = h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{Viewer: "gone", RunIds: servicetest.SixIDs[1:2]})
	apierrtest.WantError(t, err, codes.NotFound, "VIEWER_NOT_FOUND")
}

func TestPurgeOfSingleRuns(t *testing.T) {
	for _, generation := range []demotest.Generation{demotest.Gen06, demotest.Gen07} {
		t.Run(string(generation), func(t *testing.T) {
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, generation)
			servicetest.AddSix(h.Upstreams[0])
			req := &runicornapiv1.PurgeExperimentsRequest{RunIds: []string{servicetest.SixIDs[0], servicetest.UnknownRun, "odd"}, ValidateOnly: true}
			want := []string{servicetest.SixIDs[0] + " OK", servicetest.UnknownRun + " RUN_NOT_FOUND", "odd INVALID_REQUEST"}
			for _, dryRun := range []bool{true, false} {
				req.ValidateOnly = dryRun
				resp, err := h.Experiments.PurgeExperiments(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, outcomes(resp.GetResults())); diff != "" || resp.GetValidateOnly() != dryRun {
					t.Errorf("dry run %t: results (-want +got):\n%s", resp.GetValidateOnly(), diff)
				}
				if r := resp.GetResults(); r[0].FreedBytes == nil || r[0].DeletedBlobCount == nil || r[1].FreedBytes != nil {
					t.Errorf("got %v", r)
				}
			}
			resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{})
			if err != nil || resp.GetTotalSize() != 5 {
				t.Errorf("got %d left and error %v, want 5", resp.GetTotalSize(), err)
			}
		})
	}
}

func TestPurgeOfAllDeleted(t *testing.T) {
	for _, generation := range demotest.Generations() {
		t.Run(string(generation), func(t *testing.T) {
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, generation)
			servicetest.AddSix(h.Upstreams[0])
			if _, err := h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{RunIds: servicetest.SixIDs[:2]}); err != nil {
				t.Fatal(err)
			}
			for _, dryRun := range []bool{true, false} {
				resp, err := h.Experiments.PurgeExperiments(t.Context(), &runicornapiv1.PurgeExperimentsRequest{AllDeleted: true, ValidateOnly: dryRun})
				if err != nil {
					t.Fatal(err)
				}
				if len(resp.GetResults()) != 2 || outcome(resp.GetResults()[0].GetError()) != "OK" {
					t.Errorf("dry run %t: got %v, want both OK", dryRun, resp.GetResults())
				}
				bin, err := h.Experiments.ListDeletedExperiments(t.Context(), &runicornapiv1.ListDeletedExperimentsRequest{})
				if err != nil || (bin.GetTotalSize() == 2) != dryRun {
					t.Errorf("dry run %t: got %d in the bin and error %v", dryRun, bin.GetTotalSize(), err)
				}
			}
		})
	}
}

func TestAViewerOf05PurgesItsWholeBinOrNothing(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen05)
	servicetest.AddSix(h.Upstreams[0])
	if _, err := h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{RunIds: servicetest.SixIDs[:2]}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		ids    []string
		dryRun bool
		want   []string
		inBin  int32
	}{
		{"one of two", servicetest.SixIDs[:1], false, []string{servicetest.SixIDs[0] + " VIEWER_LACKS_CAPABILITY"}, 2},
		{"one that is in the bin and one that is not", []string{servicetest.SixIDs[0], servicetest.SixIDs[3]}, false, []string{servicetest.SixIDs[0] + " VIEWER_LACKS_CAPABILITY", servicetest.SixIDs[3] + " VIEWER_LACKS_CAPABILITY"}, 2},
		{"exactly the bin, but dry", []string{servicetest.SixIDs[1], servicetest.SixIDs[0]}, true, []string{servicetest.SixIDs[1] + " OK", servicetest.SixIDs[0] + " OK"}, 2},
		{"exactly the bin", []string{servicetest.SixIDs[1], servicetest.SixIDs[0]}, false, []string{servicetest.SixIDs[1] + " OK", servicetest.SixIDs[0] + " OK"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := h.Experiments.PurgeExperiments(t.Context(), &runicornapiv1.PurgeExperimentsRequest{RunIds: tt.ids, ValidateOnly: tt.dryRun})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, outcomes(resp.GetResults())); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
			bin, err := h.Experiments.ListDeletedExperiments(t.Context(), &runicornapiv1.ListDeletedExperimentsRequest{})
			if err != nil || bin.GetTotalSize() != tt.inBin {
				t.Errorf("got %d in the bin and error %v, want %d", bin.GetTotalSize(), err, tt.inBin)
			}
		})
	}
}

func TestPurgeCanBeTurnedOff(t *testing.T) {
	h := newHarnessWith(t, setup{config: func(d *Config) { d.DisablePurge = true }}, demotest.Gen07)
	_, err := h.Experiments.PurgeExperiments(t.Context(), &runicornapiv1.PurgeExperimentsRequest{AllDeleted: true})
	info := apierrtest.WantError(t, err, codes.PermissionDenied, "FEATURE_DISABLED")
	if info.GetMetadata()["flag"] != "--enable-purge" {
		t.Errorf("got metadata %v", info.GetMetadata())
	}
	for _, req := range []*runicornapiv1.PurgeExperimentsRequest{{}, {AllDeleted: true, RunIds: servicetest.SixIDs[:1]}} {
		_, err := h.Experiments.PurgeExperiments(t.Context(), req)
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	}
}

func TestUpdateExperiment(t *testing.T) {
	type experiment = runicornapiv1.Experiment
	mask := func(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }
	for _, tt := range []struct {
		name       string
		generation demotest.Generation
		experiment *experiment
		mask       *fieldmaskpb.FieldMask
		code       codes.Code
		reason     string
		want       string // alias, tags and path
	}{
		{"alias and tags on 0.6", demotest.Gen06, &experiment{Alias: new(" new "), Tags: []string{"a"}}, mask("alias", "tags"), 0, "", `{"alias":"new","tags":["a"],"path":"vision/resnet"}`},
		{"an empty alias and list remove", demotest.Gen06, &experiment{Alias: new("")}, mask("alias", "tags"), 0, "", `{"path":"vision/resnet"}`},
		{"what is not set stays", demotest.Gen07, &experiment{Tags: []string{"a"}}, mask("tags"), 0, "", `{"alias":"Baseline","tags":["a"],"path":"vision/resnet"}`},
		{"a path on 0.7", demotest.Gen07, &experiment{Path: "moved/here", Alias: new("x")}, mask("alias", "path"), 0, "", `{"alias":"x","tags":["big","gpu"],"path":"moved/here"}`},
		{"a path on 0.6 changes nothing", demotest.Gen06, &experiment{Path: "moved/here", Alias: new("x")}, mask("alias", "path"), codes.Unimplemented, "VIEWER_LACKS_CAPABILITY", ""},
		{"an alias on 0.5", demotest.Gen05, &experiment{Alias: new("x")}, mask("alias"), codes.Unimplemented, "VIEWER_LACKS_CAPABILITY", ""},
		{"a path that leaves the root", demotest.Gen07, &experiment{Path: "a/../b", Alias: new("x")}, mask("alias", "path"), codes.InvalidArgument, "INVALID_REQUEST", ""},
		{"nothing to change", demotest.Gen07, &experiment{}, mask(), codes.InvalidArgument, "INVALID_REQUEST", ""},
		{"a run that there is not", demotest.Gen07, &experiment{RunId: servicetest.UnknownRun, Alias: new("x")}, mask("alias"), codes.NotFound, "RUN_NOT_FOUND", ""},
		{"a path of a run that there is not", demotest.Gen07, &experiment{RunId: servicetest.UnknownRun, Path: "x"}, mask("path"), codes.NotFound, "RUN_NOT_FOUND", ""},
		{"an id of another form", demotest.Gen07, &experiment{RunId: "mine", Alias: new("x")}, mask("alias"), codes.InvalidArgument, "INVALID_REQUEST", ""},
		{"without a mask, what is set", demotest.Gen07, &experiment{Alias: new("x"), Path: "moved/here"}, nil, 0, "", `{"alias":"x","tags":["big","gpu"],"path":"moved/here"}`},
		{"a mask of all", demotest.Gen07, &experiment{Path: "moved/here"}, mask("*"), 0, "", `{"path":"moved/here"}`},
		{"a mask of all without a path", demotest.Gen07, &experiment{Alias: new("x")}, mask("*"), codes.InvalidArgument, "INVALID_REQUEST", ""},
		{"a field that cannot be changed", demotest.Gen07, &experiment{Alias: new("x")}, mask("alias", "status"), codes.InvalidArgument, "INVALID_REQUEST", ""},
		{"an old etag", demotest.Gen07, &experiment{Alias: new("x"), Etag: "old"}, mask("alias"), codes.Aborted, "ETAG_MISMATCH", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, tt.generation)
			servicetest.AddSix(h.Upstreams[0])
			if tt.experiment.GetRunId() == "" {
				tt.experiment.RunId = servicetest.SixIDs[0]
			}
			before := get(t, h, servicetest.SixIDs[0], 1)
			resp, err := h.Experiments.UpdateExperiment(t.Context(), &runicornapiv1.UpdateExperimentRequest{Experiment: tt.experiment, UpdateMask: tt.mask})
			if tt.code != codes.OK {
				apierrtest.WantError(t, err, tt.code, tt.reason)
				h.Config.Fleet.Configured()[0].Client.InvalidateRuns()
				if after := get(t, h, servicetest.SixIDs[0], 1); after.GetEtag() != before.GetEtag() {
					t.Errorf("something was changed: %v, before %v", after, before)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			e := resp.GetExperiment()
			wantJSON(t, &runicornapiv1.Experiment{Alias: e.Alias, Tags: e.GetTags(), Path: e.GetPath()}, tt.want)
			if e.GetEtag() == before.GetEtag() {
				t.Error("the etag has not changed")
			}
		})
	}
}

func TestAnUpdateWithTheCurrentEtagIsMade(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen07)
	servicetest.AddSix(h.Upstreams[0])
	req := &runicornapiv1.UpdateExperimentRequest{
		Experiment: &runicornapiv1.Experiment{ResourceName: target.ResourceName(h.Upstreams[0].Name, servicetest.SixIDs[0]), Alias: new("x"), Etag: get(t, h, servicetest.SixIDs[0], 2).GetEtag()},
	}
	if _, err := h.Experiments.UpdateExperiment(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	_, err := h.Experiments.UpdateExperiment(t.Context(), req)
	apierrtest.WantError(t, err, codes.Aborted, "ETAG_MISMATCH")
}

func TestGetEnvironment(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	e := find(t, h, &runicornapiv1.ListExperimentsRequest{Filter: `"odd values"`})
	resp, err := h.Experiments.GetEnvironment(t.Context(), &runicornapiv1.GetEnvironmentRequest{RunId: e.GetResourceName()})
	if err != nil {
		t.Fatal(err)
	}
	if !resp.GetAvailable() || len(resp.GetEnvironment()) == 0 || resp.GetViewer() != "v072" || resp.GetRunId() != e.GetRunId() {
		t.Errorf("got %v", resp)
	}
	e = find(t, h, &runicornapiv1.ListExperimentsRequest{Filter: `"baseline"`})
	resp, err = h.Experiments.GetEnvironment(t.Context(), &runicornapiv1.GetEnvironmentRequest{RunId: e.GetRunId()})
	if err != nil || resp.GetAvailable() || len(resp.GetEnvironment()) > 0 {
		t.Errorf("got %v and error %v, want none captured", resp, err)
	}
	_, err = h.Experiments.GetEnvironment(t.Context(), &runicornapiv1.GetEnvironmentRequest{RunId: servicetest.UnknownRun})
	apierrtest.WantError(t, err, codes.NotFound, "RUN_NOT_FOUND")
}
