package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// artifactsOf returns the client of ArtifactService of a server.
func artifactsOf(s *server) runicornapiv1.ArtifactServiceClient {
	return runicornapiv1.NewArtifactServiceClient(s.conn)
}

// TestArtifacts_AsTheSDKMadeThem reads what the SDK of 0.5.3 has logged: a
// model of three versions, whose second one is also "production".
func TestArtifacts_AsTheSDKMadeThem(t *testing.T) {
	seeded := lab.Viewer(t, realviewer.V053)
	artifacts := artifactsOf(sharedServer(t))
	list, err := artifacts.ListArtifacts(t.Context(), &runicornapiv1.ListArtifactsRequest{Viewer: "v05", Type: "model"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.GetArtifacts()) != 1 || list.GetArtifacts()[0].GetVersionCount() != 3 || list.GetArtifacts()[0].GetAliases()["production"] != 2 {
		t.Errorf("list %v", list)
	}
	for id, want := range map[string]int32{
		"toy-model": 3, "toy-model:v1": 1, "toy-model:2": 2, "toy-model:latest": 3, "toy-model:production": 2,
	} {
		resp, err := artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Viewer: "v05", Name: id})
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		v := resp.GetArtifactVersion()
		if v.GetVersion() != want || v.GetSizeBytes() != int64(want)*100 || v.GetMetadata()["accuracy"].GetNumber() != float64(want)/4 ||
			v.GetCreatedByRunId() != seeded.Manifest.Runs[realviewer.KeyArtifactModel].RunID || len(v.GetMissing()) != 0 {
			t.Errorf("%s: %v", id, v)
		}
		// The SDK has called each version latest in turn, and the details still do.
		if isLatest := strings.Contains(strings.Join(v.GetAliases(), " "), "latest"); isLatest != (want == 3) {
			t.Errorf("%s: aliases %q", id, v.GetAliases())
		}
	}
	versions, err := artifacts.ListArtifactVersions(t.Context(), &runicornapiv1.ListArtifactVersionsRequest{Viewer: "v05", Name: "toy-model"})
	if err != nil || len(versions.GetArtifactVersions()) != 3 || versions.GetArtifactVersions()[0].GetArtifactId() != "toy-model:v3" {
		t.Errorf("versions %v, %v", versions, err)
	}
	files, err := artifacts.ListArtifactFiles(t.Context(), &runicornapiv1.ListArtifactFilesRequest{Viewer: "v05", Name: "toy-data:v1"})
	if err != nil || len(files.GetFiles()) != 1 || files.GetFiles()[0].GetPath() != "table.csv" || files.GetReferences()[0].GetUri() != "s3://bucket/rest" {
		t.Errorf("files %v, %v", files, err)
	}
	if strings.Contains(files.String(), seeded.Storage()) {
		t.Errorf("a path of the Viewer's machine is shown: %v", files)
	}
	stats, err := artifacts.GetArtifactStats(t.Context(), &runicornapiv1.GetArtifactStatsRequest{Viewer: "v05"})
	if err != nil || stats.GetArtifactCount() != 2 || stats.GetVersionCount() != 4 {
		t.Errorf("stats %v, %v", stats, err)
	}
}

func TestArtifacts_ProducersAndUsers(t *testing.T) {
	seeded := lab.Viewer(t, realviewer.V053)
	artifacts := artifactsOf(sharedServer(t))
	for key, want := range map[string]string{
		realviewer.KeyArtifactDataset: "CREATED toy-data:1",
		realviewer.KeyArtifactModel:   "CREATED toy-model:1, CREATED toy-model:2, CREATED toy-model:3, USED toy-data:1",
		realviewer.KeyArtifactUser:    "USED toy-model:2",
		realviewer.KeyEmpty:           "",
	} {
		resp, err := artifacts.ListExperimentArtifacts(t.Context(), &runicornapiv1.ListExperimentArtifactsRequest{
			Viewer: "v05", RunId: seeded.Manifest.Runs[key].RunID,
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range resp.GetArtifacts() {
			relation := strings.TrimPrefix(a.GetRelation().String(), "ARTIFACT_RELATION_")
			got = append(got, relation+" "+a.GetName()+":"+strconv.Itoa(int(a.GetVersion())))
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	graph, err := artifacts.GetArtifactLineage(t.Context(), &runicornapiv1.GetArtifactLineageRequest{Viewer: "v05", Name: "toy-model:production"})
	if err != nil {
		t.Fatal(err)
	}
	maker := seeded.Manifest.Runs[realviewer.KeyArtifactModel].RunID
	var made bool
	for _, e := range graph.GetEdges() {
		made = made || e.GetType() == runicornapiv1.LineageEdgeType_LINEAGE_EDGE_TYPE_PRODUCES && e.GetSource() == "run:"+maker && e.GetTarget() == graph.GetRootNodeId()
	}
	if !made || graph.GetRootNodeId() != "toy-model:v2" {
		t.Errorf("lineage %v", graph)
	}
	_, err = artifacts.GetArtifactLineage(t.Context(), &runicornapiv1.GetArtifactLineageRequest{Viewer: "v05", Name: "toy-model:v99"})
	wantReason(t, err, codes.NotFound, "ARTIFACT_NOT_FOUND")
}

// TestArtifacts_ChangesOnARealViewer promotes and deletes on a separate Viewer.
func TestArtifacts_ChangesOnARealViewer(t *testing.T) {
	seeded, err := realviewer.StartSeeded(t.Context(), realviewer.Require(t, realviewer.V053), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := seeded.Close(); err != nil {
			t.Error(err)
		}
	})
	artifacts := artifactsOf(mustStart(t, "--viewer="+seeded.URL()))
	staging := runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_STAGING
	moved, err := artifacts.PromoteArtifact(t.Context(), &runicornapiv1.PromoteArtifactRequest{Name: "toy-model:v1", ToStage: staging})
	if err != nil || moved.GetToStage() != staging || moved.GetFromStage() != runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_EXPERIMENTAL {
		t.Fatalf("promote: %v, %v", moved, err)
	}
	promoted, err := artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: "toy-model:v1"})
	if err != nil {
		t.Fatalf("a promoted version: %v", err)
	}
	if v := promoted.GetArtifactVersion(); v.GetLifecycleStage() != staging || v.GetDescription() != "take 1" || v.GetSizeBytes() != 100 || len(v.GetMissing()) == 0 {
		t.Errorf("a promoted version: %v", v)
	}
	_, err = artifacts.ListArtifactFiles(t.Context(), &runicornapiv1.ListArtifactFilesRequest{Name: "toy-model:v1"})
	wantReason(t, err, codes.FailedPrecondition, "STATE_CONFLICT")
	if _, err := artifacts.GetArtifactLineage(t.Context(), &runicornapiv1.GetArtifactLineageRequest{Name: "toy-model:v1"}); err != nil {
		t.Errorf("lineage of a promoted version: %v", err)
	}
	_, err = artifacts.PromoteArtifact(t.Context(), &runicornapiv1.PromoteArtifactRequest{
		Name: "toy-model:v2", ToStage: runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_PRODUCTION,
	})
	wantReason(t, err, codes.InvalidArgument, "VIEWER_REFUSED_REQUEST")

	marked, err := artifacts.DeleteArtifact(t.Context(), &runicornapiv1.DeleteArtifactRequest{Name: "toy-model:v3"})
	if err != nil || !marked.GetStillReadable() {
		t.Fatalf("mark: %v, %v", marked, err)
	}
	if _, err := artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: "toy-model:v3"}); err != nil {
		t.Errorf("a marked version cannot be read: %v", err)
	}
	removed, err := artifacts.DeleteArtifact(t.Context(), &runicornapiv1.DeleteArtifactRequest{Name: "toy-model:v3", Permanent: true})
	if err != nil || removed.GetStillReadable() {
		t.Fatalf("remove: %v, %v", removed, err)
	}
	_, err = artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: "toy-model:v3"})
	wantReason(t, err, codes.NotFound, "ARTIFACT_NOT_FOUND")
}

func TestArtifacts_AreUnsupportedByLaterViewers(t *testing.T) {
	artifacts := artifactsOf(sharedServer(t))
	for _, viewer := range []string{"v06", "v07"} {
		_, err := artifacts.ListArtifacts(t.Context(), &runicornapiv1.ListArtifactsRequest{Viewer: viewer})
		wantReason(t, err, codes.Unimplemented, "VIEWER_LACKS_CAPABILITY")
		_, err = artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Viewer: viewer, Name: "toy-model"})
		wantReason(t, err, codes.Unimplemented, "VIEWER_LACKS_CAPABILITY")
	}
	all, err := artifacts.ListArtifacts(t.Context(), &runicornapiv1.ListArtifactsRequest{Viewer: "-"})
	if err != nil || len(all.GetArtifacts()) != 2 || len(all.GetUnreachable()) != 2 || all.TotalSize != nil {
		t.Errorf("of all viewers: %v, %v", all, err)
	}
}

func TestArtifacts_OverHTTP(t *testing.T) {
	s := sharedServer(t)
	for _, path := range []string{"toy-model:v2", "toy-model?version=2", "toy-model?alias=production", "toy-model:production"} {
		var answer struct {
			Version struct {
				ID string `json:"artifact_id"`
			} `json:"artifact_version"`
		}
		getJSON(t, "http://"+s.httpAddr+"/v1/viewers/v05/artifacts/"+path, &answer)
		if answer.Version.ID != "toy-model:v2" {
			t.Errorf("%s: %+v", path, answer)
		}
	}
	for path, want := range map[string]int{
		"toy-model:v99": http.StatusNotFound, "toy-model:v0": http.StatusBadRequest, "toy-model:-1": http.StatusBadRequest,
		"..%2Fx": http.StatusBadRequest,
	} {
		if got := statusOfGet(t, "http://"+s.httpAddr+"/v1/viewers/v05/artifacts/"+path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}
