package demoviewer

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// data has captured answers of the real Viewers and the files of their sample runs.
//
//go:embed data
var data embed.FS

// The directories that the captures show instead of the real ones.
const (
	rootDir = "/demo/storage"
	workDir = "/demo/work"
)

// Captured is one request to a real Viewer and its answer.
type Captured struct {
	Method      string            `json:"method"`
	Path        string            `json:"path"` // with the query
	Send        json.RawMessage   `json:"send"`
	SentHeaders map[string]string `json:"sent_headers"`
	Status      int               `json:"status"`
	Headers     map[string]string `json:"headers"`
	Body        json.RawMessage   `json:"body"` // a JSON string when the answer was not JSON
}

// generation is a release: its captured answers, its routes, and how it differs.
type generation struct {
	release   Generation
	answers   []Captured
	routes    []*route
	fallbacks map[string]fallback // by route name

	projects bool // runs have project and name instead of path, alias and tags
	sqlite   bool // newest first, summary in the detail, .recycle folder, own-run downloads, a web page for unknown GETs
}

// loadGeneration reads the captures of a release.
func loadGeneration(release Generation) (*generation, error) {
	if !slices.Contains(Generations(), release) {
		return nil, fmt.Errorf("generation: unknown Viewer release %q, want one of %v", release, Generations())
	}
	raw, err := data.ReadFile("data/" + string(release) + "/answers.json")
	if err != nil {
		return nil, fmt.Errorf("read the captures of %s: %w", release, err)
	}
	g := &generation{release: release, projects: release == Gen05, sqlite: release == Gen07}
	if err := json.Unmarshal(raw, &g.answers); err != nil {
		return nil, fmt.Errorf("decode the captures of %s: %w", release, err)
	}
	if err := g.makeRoutes(); err != nil {
		return nil, fmt.Errorf("read the routes of %s: %w", release, err)
	}
	g.keepFallbacks()
	return g, nil
}

// makeRoutes builds the route table from the release's route list.
func (g *generation) makeRoutes() error {
	var api struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(g.find("GET", "/openapi.json").Body, &api); err != nil {
		return err
	}
	for template, operations := range api.Paths {
		for method := range operations {
			g.routes = append(g.routes, newRoute(strings.ToUpper(method), template))
		}
	}
	g.routes = append(g.routes, newRoute(http.MethodGet, "/openapi.json"))
	// '{' sorts after every letter, so literal segments are tried before parameters.
	slices.SortFunc(g.routes, func(a, b *route) int { return strings.Compare(a.template, b.template) })
	return nil
}

// fallback is a route's answer to requests that were not captured: the first successful one
// or, for routes about runs, the shortest one, which is about an empty run.
type fallback struct {
	Captured
	runID string // run in the answer, "" if none
}

// keepFallbacks collects the fallbacks.
func (g *generation) keepFallbacks() {
	g.fallbacks = map[string]fallback{}
	for _, a := range g.answers {
		asked, err := url.Parse(a.Path)
		if err != nil {
			continue
		}
		r, params := g.match(a.Method, asked.Path)
		if r == nil {
			continue
		}
		known := g.fallbacks[r.name]
		shorter := params["run_id"] != "" && a.Status < 300 && len(a.Body) < len(known.Body)
		if known.Status == 0 || known.Status >= 300 && a.Status < 300 || shorter {
			g.fallbacks[r.name] = fallback{a, params["run_id"]}
		}
	}
}

// text is the body as it was sent.
func (a Captured) text() []byte {
	var text string
	if !strings.HasPrefix(a.Headers["content-type"], "application/json") && json.Unmarshal(a.Body, &text) == nil {
		return []byte(text)
	}
	return a.Body
}

// find returns the first answer to a request, or the zero value.
func (g *generation) find(method, path string) Captured {
	for _, a := range g.answers {
		if a.Method == method && a.Path == path {
			return a
		}
	}
	return Captured{}
}

// match returns the route of a request. The path is decoded as in Starlette: an escaped
// slash separates segments too.
func (g *generation) match(method, path string) (*route, map[string]string) {
	segments := strings.Split(path, "/")
	for _, r := range g.routes {
		if r.method != method {
			continue
		}
		if params, ok := r.match(segments); ok {
			return r, params
		}
	}
	return nil, nil
}

// noRoute is the answer of the static mount at "/": the web page in 0.7, else 404; 405 for
// methods other than GET and HEAD.
func noRoute(v *Viewer, c *Call) Answer {
	if c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead {
		return v.Replay(v.gen.find(http.MethodGet, "/nope"))
	}
	a := Detail(http.StatusMethodNotAllowed, "Method Not Allowed")
	a.Header = map[string]string{"Allow": "GET, HEAD"}
	return a
}
