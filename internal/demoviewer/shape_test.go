package demoviewer

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

func TestShapesShowKeysAndTypesWithoutValues(t *testing.T) {
	cases := map[string]struct {
		body, want string
		free       []string
	}{
		"an object":                  {`{"b":1,"a":"x"}`, `{"a":string,"b":number}`, nil},
		"elements are merged":        {`[{"a":1},{"a":null,"b":true}]`, `[{"a":null|number,"b"?:boolean}]`, nil},
		"keys that are data vanish":  {`{"stats":{"x":{"n":1},"y":{"n":2}}}`, `{"stats":{*:{*:number}}}`, []string{"stats"}},
		"an empty array has no type": {`[]`, `[]`, nil},
		"what is no JSON says so":    {`<html>`, `not JSON`, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Shape([]byte(c.body), c.free...); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestShapesDifferInKeysAndTypesOnly(t *testing.T) {
	cases := map[string]struct{ want, got, diff string }{
		"equal types":                   {`{"a":1}`, `{"a":2.5}`, ""},
		"null agrees with anything":     {`{"a":null}`, `{"a":"x"}`, ""},
		"empty agrees with any array":   {`[]`, `[{"a":1}]`, ""},
		"a missing member is named":     {`{"a":1,"b":1}`, `{"a":1}`, "$.b: missing"},
		"an extra member is named":      {`{"a":1}`, `{"a":1,"b":1}`, "$.b: unexpected"},
		"another type is named":         {`[{"a":1}]`, `[{"a":"1"}]`, "$[].a: want number, got string"},
		"a page is not a JSON document": {`{}`, `<html>`, "only one of the two is JSON"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := CompareShapes([]byte(c.want), []byte(c.got)); got != c.diff {
				t.Errorf("got %q, want %q", got, c.diff)
			}
		})
	}
}

func TestTheDemoAnswersEveryContractRoute(t *testing.T) {
	for _, release := range Generations() {
		t.Run(string(release), func(t *testing.T) {
			b := newBed(t, Config{Generation: release})
			values := b.contractValues()
			routes, err := ContractRoutes(release)
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

// A client learns the version from the same description as the routes.
func TestTheDescriptionSaysTheVersionThatHealthSays(t *testing.T) {
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

// contractValues are the values of the placeholders for the sample data.
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
		"run_id": run.ID, "project": "vision", "name": "resnet", "artifact": "resnet-model",
		"events": url.QueryEscape(run.Dir + "/events.jsonl"),
	}
}
