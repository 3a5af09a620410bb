package demoviewer

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// data holds what the real Viewers answered and the files of their sample runs.
//
//go:embed data
var data embed.FS

// The places that the captures show instead of the real ones.
const (
	rootDir = "/demo/storage"
	workDir = "/demo/work"
)

// captured is one request to a real Viewer and its answer.
type captured struct {
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
	release  Generation
	answers  []captured
	routes   []*route
	fallback map[string]captured // first good answer per route name

	projects bool // runs have project and name instead of path, alias and tags
	sqlite   bool // newest first, summary in the detail, .recycle folder, own-run downloads
	spa      bool // unknown GETs are answered with the web page
	page     []byte
}

// loadGeneration reads the captures of a release.
func loadGeneration(release Generation) (*generation, error) {
	full, ok := fullRelease(release)
	if !ok {
		return nil, fmt.Errorf("generation: unknown Viewer release %q, want one of %v", release, Generations())
	}
	raw, err := data.ReadFile("data/" + string(full) + "/answers.json")
	if err != nil {
		return nil, fmt.Errorf("read the captures of %s: %w", full, err)
	}
	g := &generation{release: full, projects: full == Gen05, sqlite: full == Gen07, spa: full == Gen07}
	if err := json.Unmarshal(raw, &g.answers); err != nil {
		return nil, fmt.Errorf("decode the captures of %s: %w", full, err)
	}
	if err := g.makeRoutes(); err != nil {
		return nil, fmt.Errorf("read the routes of %s: %w", full, err)
	}
	g.keepFallbacks()
	return g, nil
}

// makeRoutes builds the route table from the release's own route list.
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
	// '{' sorts behind every letter, so a literal segment is tried before a parameter.
	slices.SortFunc(g.routes, func(a, b *route) int { return strings.Compare(a.template, b.template) })
	return nil
}

// keepFallbacks remembers one answer per route, for those that no state touches; a success is preferred.
func (g *generation) keepFallbacks() {
	g.fallback = map[string]captured{}
	for _, a := range g.answers {
		path, _, _ := strings.Cut(a.Path, "?")
		r, _ := g.match(a.Method, unescape(path))
		switch {
		case r == nil:
			if strings.Contains(a.Headers["content-type"], "text/html") && a.Method == http.MethodGet {
				var page string
				if json.Unmarshal(a.Body, &page) == nil {
					g.page = []byte(page)
				}
			}
		case g.fallback[r.name].Status == 0, g.fallback[r.name].Status >= 300 && a.Status < 300:
			g.fallback[r.name] = a
		}
	}
}

// find returns the first answer to a request, or a zero one.
func (g *generation) find(method, path string) captured {
	for _, a := range g.answers {
		if a.Method == method && a.Path == path {
			return a
		}
	}
	return captured{}
}

// match finds the route of a request. The path is decoded, as Starlette's is: an escaped slash divides segments too.
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

// noRoute is what the static mount at "/" answers: the web page in 0.7, else 404; 405 for anything but GET and HEAD.
func (g *generation) noRoute(method string) answer {
	switch {
	case method != http.MethodGet && method != http.MethodHead:
		a := detail(http.StatusMethodNotAllowed, "Method Not Allowed")
		a.header = map[string]string{"Allow": "GET, HEAD"}
		return a
	case g.spa:
		return answer{
			status: http.StatusOK, contentType: "text/html; charset=utf-8", text: g.page,
			header: map[string]string{"Accept-Ranges": "bytes"},
		}
	default:
		return detail(http.StatusNotFound, "Not Found")
	}
}
