package demotest

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

func TestViewer_AnswersEveryContractRoute(t *testing.T) {
	for _, release := range Generations() {
		t.Run(string(release), func(t *testing.T) {
			b := newBed(t, Config{Generation: release})
			values := b.contractValues()
			routes, err := ContractRoutes(b.ask("GET", "/openapi.json", "").body)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range routes {
				path := c.Expand(values)
				if strings.ContainsAny(path, "{}") {
					t.Errorf("%s keeps a placeholder", path)
				}
				if got := b.ask(c.Method, path, c.Send, "Range", c.Range); got.status == 501 {
					t.Errorf("%s %s: %s", c.Method, path, got.body)
				}
			}
		})
	}
}

// A client reads the version from the same description as the routes.
func TestViewer_DescriptionAndHealthAgreeOnTheVersion(t *testing.T) {
	for _, release := range Generations() {
		t.Run(string(release), func(t *testing.T) {
			b := newBed(t, Config{Generation: release})
			var health struct{ Version string }
			var description struct{ Info struct{ Version string } }
			for path, into := range map[string]any{"/api/health": &health, "/openapi.json": &description} {
				if err := json.Unmarshal(b.ask("GET", path, "").body, into); err != nil {
					t.Fatal(err)
				}
			}
			if health.Version == "" || description.Info.Version != health.Version {
				t.Errorf("described as %q, health says %q", description.Info.Version, health.Version)
			}
		})
	}
}

// contractValues returns the values of the placeholders for the sample data.
func (b *bed) contractValues() map[string]string {
	b.t.Helper()
	var run struct {
		ID  string
		Dir string `json:"run_dir"`
	}
	for _, item := range get[[]struct {
		ID     string
		Status string
		Dir    string `json:"run_dir"`
	}](b, "/api/runs") {
		if strings.Contains(item.Dir, "vision/resnet") && item.Status == "finished" {
			run.ID, run.Dir = item.ID, item.Dir
		}
	}
	return map[string]string{
		"run_id": run.ID, "artifact": "resnet-model", "events": url.QueryEscape(run.Dir + "/events.jsonl"),
	}
}
