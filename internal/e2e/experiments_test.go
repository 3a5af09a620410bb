package e2e

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestListExperiments_PagesThroughEveryRun walks small pages and wants every
// seeded run once, with the fields of all generations filled.
func TestListExperiments_PagesThroughEveryRun(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		got := make(map[string]*runicornapiv1.Experiment)
		req := &runicornapiv1.ListExperimentsRequest{Viewer: viewer, PageSize: 4, OrderBy: "name"}
		for {
			page, err := s.experiments.ListExperiments(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if n := page.GetTotalSize(); int(n) != len(seeded.Manifest.Runs) {
				t.Fatalf("total_size = %d, want %d", n, len(seeded.Manifest.Runs))
			}
			for _, e := range page.GetExperiments() {
				if got[e.GetRunId()] != nil {
					t.Errorf("%s comes twice", e.GetRunId())
				}
				got[e.GetRunId()] = e
			}
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		for key, run := range seeded.Manifest.Runs {
			checkListed(t, key, viewer, run, got[run.RunID])
		}
	})
}

func checkListed(t *testing.T, key, viewer string, run realviewer.Run, e *runicornapiv1.Experiment) {
	t.Helper()
	if e == nil {
		t.Errorf("%s: %s is not listed", key, run.RunID)
		return
	}
	project, name, path := run.Project, run.Name, run.Project+"/"+run.Name
	if run.Project == "" {
		path = run.Path
		project, name, _ = strings.Cut(path, "/")
	}
	want := []string{viewer, project, name, path, run.Alias, "viewers/" + viewer + "/experiments/" + run.RunID}
	have := []string{e.GetViewer(), e.GetProject(), e.GetName(), e.GetPath(), e.GetAlias(), e.GetResourceName()}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s (-want +got):\n%s", key, diff)
	}
	if !slices.Equal(run.Tags, e.GetTags()) {
		t.Errorf("%s: tags %q, want %q", key, e.GetTags(), run.Tags)
	}
	if key != realviewer.KeyCrashed && e.GetStatus() != statusOf(run.Status) {
		t.Errorf("%s: status %v (%s), want %s", key, e.GetStatus(), e.GetViewerStatus(), run.Status)
	}
	if e.GetCreateTime() == nil || e.GetEtag() == "" {
		t.Errorf("%s: no create_time or no etag", key)
	}
}

func statusOf(text string) runicornapiv1.ExperimentStatus {
	switch text {
	case "running":
		return runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING
	case "finished":
		return runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FINISHED
	case "failed":
		return runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FAILED
	case "interrupted":
		return runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_INTERRUPTED
	}
	return runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_OTHER
}

// TestGetExperiment_FullIsComplete wants of every generation what that
// generation has anywhere, and of the rest a named reason.
func TestGetExperiment_FullIsComplete(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		for key, run := range seeded.Manifest.Runs {
			resp, err := s.experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{Viewer: viewer, RunId: run.RunID})
			if err != nil {
				t.Errorf("%s: %v", key, err)
				continue
			}
			e := resp.GetExperiment()
			checkListed(t, key, viewer, run, e)
			if !seeded.Version().HasPaths() {
				if !hasMissing(e, "summary") {
					t.Errorf("%s: the summary, which 0.5.3 does not serve, is not named as missing", key)
				}
				continue
			}
			if len(e.GetMissing()) > 0 {
				t.Errorf("%s: missing %v", key, e.GetMissing())
			}
			if run.Status == "finished" && e.GetEndTime() == nil {
				t.Errorf("%s: no end_time", key)
			}
			if e.GetMetadata()["hostname"].GetText() == "" {
				t.Errorf("%s: no hostname in the metadata", key)
			}
		}
		if run, ok := seeded.Manifest.Runs[realviewer.KeyNaN]; ok && seeded.Version().HasPaths() {
			resp, err := s.experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{Viewer: viewer, RunId: run.RunID})
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := resp.GetExperiment().GetSummary()["best_metric_value"]; ok && !math.IsNaN(v.GetNumber()) {
				t.Errorf("best_metric_value = %v, the summary file has NaN", v)
			}
		}
	})
}

func hasMissing(e *runicornapiv1.Experiment, field string) bool {
	return slices.ContainsFunc(e.GetMissing(), func(m *runicornapiv1.MissingPart) bool { return m.GetField() == field })
}

func TestExperiments_OverAllViewers(t *testing.T) {
	s := sharedServer(t)
	want := 0
	for _, version := range realviewer.Versions() {
		want += len(lab.Viewer(t, version).Manifest.Runs)
	}
	page, err := s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Viewer: "-", PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.GetExperiments()) != want || len(page.GetUnreachable()) != 0 {
		t.Errorf("%d experiments and %d unreachable, want %d and 0", len(page.GetExperiments()), len(page.GetUnreachable()), want)
	}
	best, err := s.metrics.FindBestExperiment(t.Context(), &runicornapiv1.FindBestExperimentRequest{Viewer: "-", MetricName: "accuracy"})
	if err != nil {
		t.Fatal(err)
	}
	if best.GetExperiment() == nil || !best.GetComplete() {
		t.Errorf("the best experiment over all viewers: %v, not read: %v", best.GetExperiment(), best.GetNotRead())
	}
	projects, err := s.experiments.ListProjects(t.Context(), &runicornapiv1.ListProjectsRequest{Viewer: "-", PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	counted := 0
	for _, p := range projects.GetProjects() {
		counted += int(p.GetExperimentCount())
	}
	if counted != want {
		t.Errorf("the projects have %d experiments, want %d", counted, want)
	}
}

// TestExperiments_ChangesOnARealViewer deletes, restores, updates and purges on
// a Viewer of the test's own.
func TestExperiments_ChangesOnARealViewer(t *testing.T) {
	t.Parallel()
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			install := realviewer.Require(t, version)
			storage := t.TempDir()
			var ids []string
			for range 4 {
				run, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{
					Project: "vision", Name: "resnet", Lines: realviewer.Curve(time.Now(), 5, "loss"),
				})
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, run.RunID)
			}
			s := mustStart(t, "--viewer="+realviewer.MustStart(t, install, realviewer.Options{Storage: storage}).URL())
			c := changes{t: t, s: s, ids: ids, version: version}
			c.deleteAndRestore()
			c.update()
			c.purge()
		})
	}
}

// changes is the story of TestExperiments_ChangesOnARealViewer.
type changes struct {
	t       *testing.T
	s       *server
	ids     []string
	version realviewer.Version
}

func (c changes) listed() []string {
	c.t.Helper()
	page, err := c.s.experiments.ListExperiments(c.t.Context(), &runicornapiv1.ListExperimentsRequest{OrderBy: "run_id"})
	if err != nil {
		c.t.Fatal(err)
	}
	var ids []string
	for _, e := range page.GetExperiments() {
		ids = append(ids, e.GetRunId())
	}
	return ids
}

func (c changes) deleteAndRestore() {
	t, ctx := c.t, c.t.Context()
	missing, odd := "20200101_000000_abcdef", "my-run"
	resp, err := c.s.experiments.DeleteExperiments(ctx, &runicornapiv1.DeleteExperimentsRequest{RunIds: []string{c.ids[0], missing, odd}})
	if err != nil {
		t.Fatal(err)
	}
	var got []codes.Code
	for _, r := range resp.GetResults() {
		got = append(got, codes.Code(r.GetError().GetCode())) //nolint:gosec // a code
	}
	if want := []codes.Code{codes.OK, codes.NotFound, codes.InvalidArgument}; !slices.Equal(got, want) {
		t.Fatalf("deleting a run, a missing one and an odd id: %v, want %v", got, want)
	}
	if slices.Contains(c.listed(), c.ids[0]) {
		t.Error("a deleted run is still listed")
	}
	_, err = c.s.experiments.GetExperiment(ctx, &runicornapiv1.GetExperimentRequest{RunId: c.ids[0]})
	if status.Code(err) != codes.NotFound {
		t.Errorf("GetExperiment of a deleted run: %v", err)
	}
	bin, err := c.s.experiments.ListDeletedExperiments(ctx, &runicornapiv1.ListDeletedExperimentsRequest{})
	if err != nil || len(bin.GetDeletedExperiments()) != 1 || bin.GetDeletedExperiments()[0].GetExperiment().GetRunId() != c.ids[0] {
		t.Errorf("the recycle bin: %v, %v", bin, err)
	}
	restored, err := c.s.experiments.RestoreExperiments(ctx, &runicornapiv1.RestoreExperimentsRequest{RunIds: []string{c.ids[0]}})
	if err != nil || restored.GetResults()[0].GetError().GetCode() != 0 {
		t.Fatalf("restore: %v, %v", restored, err)
	}
	if !slices.Contains(c.listed(), c.ids[0]) {
		t.Error("a restored run is not listed")
	}
}

func (c changes) update() {
	t, ctx := c.t, c.t.Context()
	alias := "best one"
	resp, err := c.s.experiments.UpdateExperiment(ctx, &runicornapiv1.UpdateExperimentRequest{
		Experiment: &runicornapiv1.Experiment{RunId: c.ids[1], Alias: &alias, Tags: []string{"a", "b"}},
	})
	if !c.version.HasPaths() {
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("UpdateExperiment on 0.5.3: %v, want UNIMPLEMENTED", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if e := resp.GetExperiment(); e.GetAlias() != alias || !slices.Equal(e.GetTags(), []string{"a", "b"}) {
		t.Errorf("after the update: alias %q, tags %q", e.GetAlias(), e.GetTags())
	}
	target := "moved/here"
	resp, err = c.s.experiments.UpdateExperiment(ctx, &runicornapiv1.UpdateExperimentRequest{
		Experiment: &runicornapiv1.Experiment{RunId: c.ids[1], Path: target},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"path"}},
	})
	switch {
	case c.version == realviewer.V060 && status.Code(err) != codes.Unimplemented:
		t.Errorf("moving on 0.6.0: %v, want UNIMPLEMENTED", err)
	case c.version == realviewer.V072 && (err != nil || resp.GetExperiment().GetPath() != target):
		t.Errorf("moving on 0.7.2: %v, %v", resp, err)
	}
}

func (c changes) purge() {
	t, ctx := c.t, c.t.Context()
	dry, err := c.s.experiments.PurgeExperiments(ctx, &runicornapiv1.PurgeExperimentsRequest{RunIds: []string{c.ids[2]}, ValidateOnly: true})
	if err != nil || !dry.GetValidateOnly() {
		t.Fatalf("dry run: %v, %v", dry, err)
	}
	if !slices.Contains(c.listed(), c.ids[2]) {
		t.Fatal("a dry run purged")
	}
	resp, err := c.s.experiments.PurgeExperiments(ctx, &runicornapiv1.PurgeExperimentsRequest{RunIds: []string{c.ids[2]}})
	if err != nil {
		t.Fatal(err)
	}
	want := codes.OK
	if !c.version.HasPaths() {
		want = codes.Unimplemented // not in the bin, and 0.5.3 can only empty the bin
	}
	if got := codes.Code(resp.GetResults()[0].GetError().GetCode()); got != want { //nolint:gosec // a code
		t.Errorf("purge: %v, want %v", resp.GetResults()[0].GetError(), want)
	}
	if _, err := c.s.experiments.DeleteExperiments(ctx, &runicornapiv1.DeleteExperimentsRequest{RunIds: []string{c.ids[3]}}); err != nil {
		t.Fatal(err)
	}
	resp, err = c.s.experiments.PurgeExperiments(ctx, &runicornapiv1.PurgeExperimentsRequest{AllDeleted: true})
	if err != nil || len(resp.GetResults()) != 1 || resp.GetResults()[0].GetError().GetCode() != 0 {
		t.Fatalf("emptying the bin: %v, %v", resp, err)
	}
	bin, err := c.s.experiments.ListDeletedExperiments(ctx, &runicornapiv1.ListDeletedExperimentsRequest{})
	if err != nil || len(bin.GetDeletedExperiments()) != 0 {
		t.Errorf("the bin after it was emptied: %v, %v", bin, err)
	}
}

func TestUnknownThings_HaveTheirReasons(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, _ *realviewer.Seeded) {
		_, err := s.experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{Viewer: viewer, RunId: "20200101_000000_abcdef"})
		wantReason(t, err, codes.NotFound, "RUN_NOT_FOUND")
		_, err = s.metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{Viewer: viewer, RunId: "20200101_000000_abcdef"})
		wantReason(t, err, codes.NotFound, "RUN_NOT_FOUND")
		_, err = s.experiments.GetEnvironment(t.Context(), &runicornapiv1.GetEnvironmentRequest{Viewer: viewer, RunId: "20200101_000000_abcdef"})
		wantReason(t, err, codes.NotFound, "RUN_NOT_FOUND")
		_, err = s.experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{Viewer: viewer, RunId: "../../etc"})
		wantReason(t, err, codes.InvalidArgument, "INVALID_REQUEST")
		_, err = s.experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{Viewer: "nobody", RunId: "x"})
		wantReason(t, err, codes.NotFound, "VIEWER_NOT_FOUND")
	})
}

// TestREST_IsTheSameAPI reads over HTTP what gRPC answers.
func TestREST_IsTheSameAPI(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		run := seeded.Manifest.Runs[realviewer.KeyNaN]
		var got struct {
			Experiment struct {
				RunID        string `json:"run_id"`
				ResourceName string `json:"resource_name"`
			}
		}
		getJSON(t, "http://"+s.httpAddr+"/v1/viewers/"+viewer+"/experiments/"+run.RunID, &got)
		if got.Experiment.RunID != run.RunID || !strings.HasSuffix(got.Experiment.ResourceName, run.RunID) {
			t.Errorf("over HTTP: %+v", got)
		}
		if got := statusOfGet(t, "http://"+s.httpAddr+"/v1/experiments/nope?viewer="+viewer); got != http.StatusNotFound {
			t.Errorf("a missing run over HTTP: %d", got)
		}
	})
}
