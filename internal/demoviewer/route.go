package demoviewer

import (
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds what the demo reads of a request body.
const maxBody = 16 << 20

// handler answers one call. It runs with the Viewer's lock held and must not write to the network.
type handler func(*Viewer, *call) answer

// route is one operation of a generation.
type route struct {
	name     string // method and template, the key of counts and handlers
	method   string
	template string
	segments []string
	handle   handler
}

// call is one request on its way through a handler.
type call struct {
	r      *http.Request
	route  *route
	params map[string]string
	query  url.Values
	body   []byte
}

// newRoute finds the handler of an operation; one without a handler of its own repeats its captured answer.
func newRoute(method, template string) *route {
	r := &route{name: method + " " + template, method: method, template: template}
	r.segments = strings.Split(template, "/")
	r.handle = handlers[r.name]
	switch {
	case strings.HasPrefix(template, "/api/v2/"):
		r.handle = refuseV2
	case r.handle == nil && method == http.MethodGet:
		r.handle = repeatCapture
	case r.handle == nil:
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

// repeatCapture repeats what the real Viewer answered, with the current storage root in it.
func repeatCapture(v *Viewer, c *call) answer {
	a, ok := v.gen.fallback[c.route.name]
	if !ok {
		return notInDemo(v, c)
	}
	body := strings.ReplaceAll(string(a.Body), rootDir, v.root)
	return answer{status: a.Status, contentType: a.Headers["content-type"], text: []byte(body)}
}

// notInDemo is the honest answer of a route that exists in the real Viewer only.
func notInDemo(*Viewer, *call) answer {
	return detail(http.StatusNotImplemented, "The built-in demo Viewer does not have this operation")
}

// refuseV2 stands for a call that on a real 0.5.3 copies the whole storage: tests find it in the counts.
func refuseV2(*Viewer, *call) answer {
	return detail(http.StatusInternalServerError, "/api/v2 must never be called")
}

// readBody reads a bounded request body.
func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(r.Body, maxBody))
}

// unescape decodes a path of a capture.
func unescape(path string) string {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	return plain
}
