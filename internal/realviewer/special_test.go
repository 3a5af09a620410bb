package realviewer

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestLab_SeedsMoreThanMetrics reads data other than metrics from the Viewers.
func TestLab_SeedsMoreThanMetrics(t *testing.T) {
	rows := []struct {
		route string // {id} is replaced by the id of the run under key
		key   string
		has   func(Version) bool
		want  []string
	}{
		{"/api/runs/{id}/metrics_step?downsample=100", KeyBig, anyVersion, []string{`"total":12000`}},
		{"/api/environment/{id}", KeyEnvironment, anyVersion, []string{`"available":true`, "numpy==2.4.1"}},
		{"/api/artifacts/toy-model/versions", KeyBasic, only(V053), []string{`"version":3`}},
		{"/api/artifacts", KeyBasic, only(V053), []string{`"production":2`, `"toy-data"`}},
		{"/api/artifacts/toy-model/v2/lineage", KeyBasic, only(V053), []string{"toy-data"}},
		{"/api/runs/{id}/artifacts", KeyArtifactUser, only(V053), []string{`"used":[{"name":"toy-model"`}},
		{"/api/runs/{id}/assets", KeyAssets, Version.HasPaths, []string{
			`"snapshot":{"saved":true`, `"toy"`, `"remote"`, `"weights"`, "model.pt", `"seed":7`,
		}},
		{"/api/runs/{id}", KeyAssets, Version.HasPaths, []string{`"assets_count":6`}},
		{"/api/runs/{id}/images", KeyImages, only(V072), []string{`"sample"`, `"mask"`}},
		{"/api/runs/{id}", KeySummary, only(V072), []string{`"large":1152921504606846977`, `"nan":null`}},
		{"/api/paths/runs?path=vision&exact=false", KeyDeep, Version.HasPaths, []string{"vision/detection/yolo/ablation"}},
		{"/api/projects", KeyUnicode, only(V053), []string{"проект α"}},
	}
	for _, version := range Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			seeded := lab.Viewer(t, version)
			for _, row := range rows {
				if !row.has(seeded.Version()) {
					continue
				}
				route := strings.ReplaceAll(row.route, "{id}", seeded.Manifest.Runs[row.key].RunID)
				var answer json.RawMessage
				if err := seeded.getJSON(t.Context(), route, &answer); err != nil {
					t.Error(err)
					continue
				}
				for _, want := range row.want {
					if !strings.Contains(string(answer), want) {
						t.Errorf("GET %s: no %s in %.400s", route, want, answer)
					}
				}
			}
		})
	}
}

func anyVersion(Version) bool { return true }

func only(version Version) func(Version) bool {
	return func(v Version) bool { return v == version }
}

// The test changes a run. Viewer 0.7.2 keeps its database locked after some operations of
// an SDK.
func TestLab_SeedingLeavesNoDatabaseLocked(t *testing.T) {
	for _, version := range Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			seeded := lab.Viewer(t, version)
			if !seeded.Version().HasPaths() {
				t.Skip("0.5.3 has nothing to change")
			}
			url := seeded.URL() + "/api/runs/" + seeded.Manifest.Runs[KeyEmpty].RunID
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, url, strings.NewReader(`{"alias":"changed"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := seeded.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusOK {
				t.Errorf("PATCH: %s", resp.Status)
			}
			if output := seeded.Output(); strings.Contains(output, "database is locked") {
				t.Errorf("the Viewer says:\n%s", output)
			}
			if output := seeded.Trainer.proc.output(); strings.Contains(output, "database is locked") {
				t.Errorf("the trainer says:\n%s", output)
			}
		})
	}
}
