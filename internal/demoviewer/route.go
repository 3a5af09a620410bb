package demoviewer

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxBody is the maximum size of a request body in bytes.
const maxBody = 16 << 20

// handler answers one call. It runs with the Viewer's lock held and must not write to the network.
type handler func(*Viewer, *Call) Answer

// route is one operation of a generation.
type route struct {
	name     string // method and template, the key of handlers
	method   string
	template string
	segments []string
	handle   handler
}

// Call is one request to a handler.
type Call struct {
	Request *http.Request
	Route   string // method and template as in /openapi.json, or method and "*" if no route matches
	Params  map[string]string
	Query   url.Values
	Body    []byte
}

// newRoute returns an operation; without a handler it repeats its captured answer.
func newRoute(method, template string) *route {
	r := &route{name: method + " " + template, method: method, template: template}
	r.segments = strings.Split(template, "/")
	r.handle = handlers[r.name]
	switch {
	case r.handle != nil:
	case method == http.MethodGet && !strings.HasPrefix(template, "/api/v2/"):
		r.handle = (*Viewer).repeatCapture
	default:
		r.handle = notInDemo
	}
	return r
}

// match compares the segments of a path with the template's.
func (r *route) match(segments []string) (map[string]string, bool) {
	if len(segments) != len(r.segments) {
		return nil, false
	}
	params := map[string]string{}
	for i, want := range r.segments {
		got := segments[i]
		prefix, name, isParam := strings.Cut(want, "{")
		if !isParam {
			if got != want {
				return nil, false
			}
			continue
		}
		value, ok := strings.CutPrefix(got, prefix)
		if !ok || value == "" {
			return nil, false
		}
		params[strings.TrimSuffix(name, "}")] = value
	}
	return params, true
}

// repeatCapture repeats the real Viewer's answer to the same request, or else the fallback
// of the route, with the current storage root in it.
func (v *Viewer) repeatCapture(c *Call) Answer {
	a := v.gen.find(c.Request.Method, c.Request.URL.RequestURI())
	if a.Status == 0 {
		known := v.gen.fallbacks[c.Route]
		if a = known.Captured; known.runID != "" {
			a.Body = bytes.ReplaceAll(a.Body, []byte(known.runID), []byte(c.Params["run_id"]))
		}
	}
	if a.Status == 0 {
		return notInDemo(v, c)
	}
	return v.Replay(a)
}

// Replay converts a captured answer.
func (v *Viewer) Replay(a Captured) Answer {
	return Answer{
		Status: a.Status, ContentType: a.Headers["content-type"], Header: a.Headers,
		Text: bytes.ReplaceAll(a.text(), []byte(rootDir), []byte(v.root)),
	}
}

// repeatOfRun repeats the real Viewer's answer about a run.
func repeatOfRun(v *Viewer, c *Call) Answer {
	if v.Visible(c.Params["run_id"]) != nil {
		return v.repeatCapture(c)
	}
	if a := v.gen.find(http.MethodGet, c.Request.URL.Path); a.Status == http.StatusNotFound {
		return v.Replay(a)
	}
	return runNotFound()
}

// repeatOfArtifact repeats the real Viewer's answer about the sample's artifacts.
func repeatOfArtifact(v *Viewer, c *Call) Answer {
	a := v.gen.find(http.MethodGet, c.Request.URL.RequestURI())
	if a.Status == 0 {
		a = v.gen.find(http.MethodGet, c.Request.URL.Path)
	}
	switch {
	case a.Status != 0 && v.HasSample():
		return v.Replay(a)
	default:
		return Detail(http.StatusNotFound, "Artifact not found: "+c.Params["artifact_name"])
	}
}

// listArtifacts repeats the captured list, limited to the type in the query.
func listArtifacts(v *Viewer, c *Call) Answer {
	items := []map[string]any{}
	if v.HasSample() {
		if err := json.Unmarshal(v.gen.find(http.MethodGet, c.Request.URL.Path).text(), &items); err != nil {
			return Detail(http.StatusInternalServerError, err.Error())
		}
	}
	return OK(slices.DeleteFunc(items, func(item map[string]any) bool {
		return c.Query.Has("type") && c.Query.Get("type") != item["type"]
	}))
}

// notConnected is the answer of routes that read over SSH: the demo has no connections.
func notConnected(_ *Viewer, c *Call) Answer {
	return Detail(http.StatusNotFound, "Connection not found or inactive: "+c.Query.Get("connection_id"))
}

// notInDemo is the answer of routes that only the real Viewer supports.
func notInDemo(*Viewer, *Call) Answer {
	return Detail(http.StatusNotImplemented, "The built-in demo Viewer does not have this operation")
}
