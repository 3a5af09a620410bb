package restclient

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// artifactViewer serves the recorded artifacts of 0.5.3.
func artifactViewer(t *testing.T) *fakeViewer {
	t.Helper()
	v := newViewer(t, "0.5.3")
	for route, name := range map[string]string{
		"GET /api/artifacts":                     "artifacts_list",
		"GET /api/artifacts/stats":               "artifacts_stats",
		"GET /api/artifacts/my-model/versions":   "artifact_versions",
		"GET /api/artifacts/my-model/v1":         "artifact_v1",
		"GET /api/artifacts/my-model/v1/files":   "artifact_v1_files",
		"GET /api/artifacts/my-model/v1/lineage": "artifact_v1_lineage",
		"GET /api/runs/maker/artifacts":          "run_artifacts_created",
		"GET /api/runs/user/artifacts":           "run_artifacts_used",
	} {
		v.on(route, jsonAnswer(string(fixture(t, "0.5.3", name))))
	}
	v.on("GET /api/artifacts/my-model/v99", answer(404, "application/json", fixture(t, "0.5.3", "artifact_v99_404")))
	v.on("GET /api/artifacts/my-model/v99/lineage", jsonAnswer(`{"root_artifact":"my-model:v99","nodes":[],"edges":[]}`))
	return v
}

var modelV1 = VersionRef{Name: "my-model", Version: 1, Type: "model"}

func TestArtifacts_DecodeRecordedAnswers(t *testing.T) {
	v := artifactViewer(t)
	c := v.client(t)
	artifacts, _, err := c.Artifacts(t.Context(), "model")
	if err != nil {
		t.Fatal(err)
	}
	if len(artifacts) != 1 || artifacts[0].Name.Value != "my-model" || artifacts[0].Aliases["latest"].Value != 2 ||
		artifacts[0].Size.Value != 4096 || artifacts[0].CreatedTime.Unix() != 1795446662 {
		t.Errorf("artifacts: %+v", artifacts)
	}
	versions, _, err := c.ArtifactVersions(t.Context(), "my-model", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(versions) != 2 || versions[1].Version.Value != 2 || versions[1].CreatedByRun.Value != "20261123_151102_2186fd" {
		t.Errorf("versions: %+v", versions)
	}
	version, err := c.ArtifactVersion(t.Context(), modelV1)
	if err != nil {
		t.Fatal(err)
	}
	if version.CreatedByUser.Known || version.Metadata["accuracy"].Number != 0.9 || version.Status.Value != "ready" {
		t.Errorf("version: %+v", version)
	}
	stats, err := c.ArtifactStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stats.Size.Value != 6144 || stats.ByType["model"].Versions.Value != 2 || !stats.Deduplicated {
		t.Errorf("stats: %+v", stats)
	}
	if got := v.requests(); got[0].Query != "type=model" || got[1].Query != "" || got[2].Query != "type=model" {
		t.Errorf("queries: %+v", got)
	}
}

func TestArtifacts_DecodeRecordedFilesAndLineage(t *testing.T) {
	v := artifactViewer(t)
	c := v.client(t)
	files, err := c.ArtifactFiles(t.Context(), modelV1)
	if err != nil {
		t.Fatal(err)
	}
	if len(files.Files) != 1 || files.Files[0].Path.Value != "model053.bin" || files.TotalSize.Value != 2048 {
		t.Errorf("files: %+v", files)
	}
	graph, err := c.Lineage(t.Context(), modelV1, 5)
	if err != nil {
		t.Fatal(err)
	}
	edge := LineageEdge{Source: known("run:20261123_151102_2186fd"), Target: known("my-model:v1"), Type: known("produces")}
	if diff := cmp.Diff([]LineageEdge{edge}, graph.Edges); diff != "" || len(graph.Nodes) != 2 {
		t.Errorf("%d nodes, edges: %s", len(graph.Nodes), diff)
	}
	if got := v.requests(); got[1].Query != "max_depth=5&type=model" {
		t.Errorf("query %q", got[1].Query)
	}
	made, err := c.RunArtifacts(t.Context(), "maker")
	if err != nil {
		t.Fatal(err)
	}
	used, err := c.RunArtifacts(t.Context(), "user")
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Created) != 3 || len(made.Used) != 0 || made.Created[0].Stage.Value != "experimental" {
		t.Errorf("made: %+v", made)
	}
	if len(used.Used) != 2 || !used.Used[1].CreatedTime.IsZero() || used.Used[1].Stage.Known {
		t.Errorf("used: %+v", used)
	}
}

func known(text string) Text { return Text{Value: text, Known: true} }

func TestArtifacts_MissingVersionIsNotFound(t *testing.T) {
	c := artifactViewer(t).client(t)
	ref := VersionRef{Name: "my-model", Version: 99}
	_, err := c.ArtifactVersion(t.Context(), ref)
	_, graphErr := c.Lineage(t.Context(), ref, 0)
	for _, err := range []error{err, graphErr} {
		if e := typed(t, err, KindNotFound); e.Resource != "artifact" || e.ResourceID != "my-model" {
			t.Errorf("it is about %s %q", e.Resource, e.ResourceID)
		}
	}
}

func TestArtifacts_RecognizePromotedVersion(t *testing.T) {
	const defect = `{"detail":"ArtifactMetadata.__init__() got an unexpected keyword argument 'lifecycle_stage'"}`
	v := artifactViewer(t)
	c := v.client(t)
	for _, tt := range []struct {
		name   string
		status int
		detail string
		want   bool
	}{
		{"a version that was promoted", 500, defect, true},
		{"another failure", 500, `{"detail":"disk full"}`, false},
		{"another status", 400, defect, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"", "/files"} {
				v.on("GET /api/artifacts/my-model/v1"+path, answer(tt.status, "application/json", []byte(tt.detail)))
			}
			_, detailErr := c.ArtifactVersion(t.Context(), modelV1)
			_, filesErr := c.ArtifactFiles(t.Context(), modelV1)
			for _, err := range []error{detailErr, filesErr} {
				if e, ok := errors.AsType[*Error](err); !ok || e.Promoted != tt.want {
					t.Errorf("got %+v, want promoted %t", e, tt.want)
				}
			}
		})
	}
}

func TestArtifacts_InvalidReferencesAreNotSent(t *testing.T) {
	v := artifactViewer(t)
	c := v.client(t)
	for _, tt := range []struct {
		name  string
		ref   VersionRef
		field string
	}{
		{"version 0", VersionRef{Name: "a"}, "version"},
		{"a negative version", VersionRef{Name: "a", Version: -1}, "version"},
		{"a type that is a path", VersionRef{Name: "a", Version: 1, Type: ".."}, "type"},
		{"a name that is a path", VersionRef{Name: "..", Version: 1}, "artifact"},
		{"an empty name", VersionRef{Version: 1}, "artifact"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, version := c.ArtifactVersion(t.Context(), tt.ref)
			_, files := c.ArtifactFiles(t.Context(), tt.ref)
			_, graph := c.Lineage(t.Context(), tt.ref, 0)
			for _, err := range []error{version, files, graph, c.DeleteVersion(t.Context(), tt.ref, true)} {
				if e, ok := errors.AsType[*IDError](err); !ok || e.Field != tt.field {
					t.Errorf("got %v, want a complaint about %s", err, tt.field)
				}
			}
		})
	}
	if _, _, err := c.Artifacts(t.Context(), "a/b"); err == nil {
		t.Error("a type with a slash was accepted")
	}
	if _, _, err := c.ArtifactVersions(t.Context(), "a", "../b"); err == nil {
		t.Error("a type that climbs was accepted")
	}
	if _, err := c.Lineage(t.Context(), modelV1, -1); err == nil {
		t.Error("a negative depth was accepted")
	}
	if got := v.requests(); len(got) != 0 {
		t.Errorf("sent upstream: %+v", got)
	}
}

func TestArtifacts_PromoteAndDelete(t *testing.T) {
	v := artifactViewer(t)
	c := v.client(t)
	v.on("POST /api/artifacts/my-model/v1/promote", jsonAnswer(`{"ok":true,"from_stage":"experimental","to_stage":"staging"}`))
	v.on("DELETE /api/artifacts/my-model/v1", jsonAnswer(`{"success":true,"message":"Permanently deleted"}`))
	moved, err := c.PromoteVersion(t.Context(), modelV1, Promotion{ToStage: "staging"})
	if err != nil || moved.FromStage.Value != "experimental" || moved.ToStage.Value != "staging" {
		t.Errorf("promote: %+v, %v", moved, err)
	}
	if err := c.DeleteVersion(t.Context(), modelV1, true); err != nil {
		t.Error(err)
	}
	got := v.requests()
	if got[0].Body != `{"to_stage":"staging"}` || got[0].Query != "" || got[1].Query != "permanent=true&type=model" {
		t.Errorf("sent: %+v", got)
	}
	v.on("POST /api/artifacts/my-model/v1/promote", answer(400, "application/json", []byte(`{"detail":"Invalid transition from staging to x"}`)))
	_, err = c.PromoteVersion(t.Context(), modelV1, Promotion{ToStage: "x"})
	wantKind(t, err, KindBadRequest)
	v.on("DELETE /api/artifacts/my-model/v1", jsonAnswer(`{"success":false,"message":"cannot remove /srv/x"}`))
	if e := typed(t, c.DeleteVersion(t.Context(), modelV1, false), KindServer); e.Detail != "cannot remove <path>" {
		t.Errorf("detail %q", e.Detail)
	}
}

func TestArtifacts_AreUnsupportedByLaterGenerations(t *testing.T) {
	for _, version := range []string{"0.6.0", "0.7.2"} {
		v := newViewer(t, version)
		_, _, err := v.client(t).Artifacts(t.Context(), "")
		if e := typed(t, err, KindUnsupported); e.Alternative == "" || e.Capability != capArtifacts || len(v.requests()) != 0 {
			t.Errorf("%s: %+v", version, e)
		}
	}
}
