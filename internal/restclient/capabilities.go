package restclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// maxOpenAPI bounds the description, which has 30 to 100 KB.
const maxOpenAPI = 16 << 20

// minProbeInterval is the minimum time between probes, so that a route that always
// fails does not double the load.
const minProbeInterval = time.Second

// recheckAfter is how old a probe may be when it is the reason to refuse a call.
const recheckAfter = 5 * time.Second

// The names of the generations, derived from what a Viewer can do.
const (
	Generation05 = "0.5"
	Generation06 = "0.6"
	Generation07 = "0.7"
)

// Capabilities is what one Viewer can do, as its /openapi.json says. It is
// immutable.
type Capabilities struct {
	// Generation is the nearest generation that we know.
	Generation string
	// Version is what the Viewer calls itself; 0.5.3 says 0.5.2, so nothing
	// may be decided by it.
	Version string
	// ProbedAt is when the Viewer was asked.
	ProbedAt time.Time

	has map[Capability]bool
}

// Has reports whether the Viewer has a capability.
func (c *Capabilities) Has(name Capability) bool { return c.has[name] }

// List returns the names of all capabilities, sorted.
func (c *Capabilities) List() []Capability { return slices.Sorted(maps.Keys(c.has)) }

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// operation is a method and a path without the names of its placeholders,
// which differ between the generations.
func operation(method, path string) string {
	return strings.ToUpper(method) + " " + placeholder.ReplaceAllString(path, "{}")
}

// capabilitiesOf derives the capabilities from the operations of a document.
func capabilitiesOf(doc *openAPI, now time.Time) *Capabilities {
	offered := map[string]bool{operation(http.MethodGet, "/openapi.json"): true}
	for path, methods := range doc.Paths {
		for method := range methods {
			offered[operation(method, path)] = true
		}
	}
	caps := &Capabilities{Version: doc.Info.Version, ProbedAt: now, has: make(map[Capability]bool)}
	for name, r := range routes {
		listed := r
		if r.impliedBy != "" {
			listed = routes[r.impliedBy]
		}
		if offered[operation(listed.method, listed.path)] {
			caps.has[name] = true
		}
	}
	switch {
	case caps.Has(CapMoveRuns):
		caps.Generation = Generation07
	case caps.Has(CapFiles):
		caps.Generation = Generation06
	default:
		caps.Generation = Generation05
	}
	return caps
}

// openAPI is the part of the Viewer's own description that is used.
type openAPI struct {
	Info struct {
		Title   string `json:"title"`
		Version string `json:"version"`
	} `json:"info"`
	Paths map[string]map[string]ignored `json:"paths"`
}

// ignored is a value of any shape that nobody looks at.
type ignored struct{}

// UnmarshalJSONFrom skips the value.
func (*ignored) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return dec.SkipValue() }

// otherThanViewer says what describes itself so if it is no Viewer.
func (d *openAPI) otherThanViewer(caps *Capabilities) string {
	if _, ok := d.Paths["/v1/experiments"]; ok {
		return "a runicorn-grpc server, maybe this one"
	}
	if len(caps.has) == 1 { // every server that describes itself has that route
		return fmt.Sprintf("%q, which has none of its routes", scrub.Text(d.Info.Title, nil))
	}
	return ""
}

// notViewer is the error of an address at which something else answers.
func (c *Client) notViewer(name Capability, what string) *Error {
	e := c.newError(name, KindUnreachable, errNotViewer)
	e.Address, e.Detail = c.BaseURL(), "what answers there is no Runicorn Viewer, but "+what
	return e
}

var errNotViewer = errors.New("this is no Runicorn Viewer")

var errNoPaths = errors.New("/openapi.json describes no routes")

// Capabilities returns what the Viewer can do, from memory where that is
// fresh. The Viewer is asked again after it was unreachable or surprised us,
// because another generation may have been started in its place.
func (c *Client) Capabilities(ctx context.Context) (*Capabilities, error) {
	caps, current := c.caps.get()
	if caps != nil {
		age := time.Since(caps.ProbedAt)
		if age <= c.cfg.CapabilityTTL && (current || age <= minProbeInterval) {
			return caps, nil
		}
	}
	return c.probe(ctx)
}

// probe asks the Viewer for its routes.
//
//viewer:operation GET /openapi.json 0.5 0.6 0.7
func (c *Client) probe(ctx context.Context) (*Capabilities, error) {
	epoch := c.caps.now()
	doc, err := readJSON[openAPI](ctx, c, call{cap: capOpenAPI, limit: maxOpenAPI})
	if err != nil {
		return nil, err
	}
	if len(doc.Paths) == 0 {
		return nil, c.newError(capOpenAPI, KindMalformed, errNoPaths)
	}
	caps := capabilitiesOf(doc, time.Now())
	if what := doc.otherThanViewer(caps); what != "" {
		err := c.notViewer(capOpenAPI, what)
		c.noteFailure(err)
		return nil, err
	}
	c.undescribed.Store(0)
	c.connLog.onRelease(c.caps.put(caps, epoch), caps)
	return caps, nil
}

// require returns the route of a capability, or KindUnsupported where the
// Viewer is known to lack it. A Viewer whose description cannot be had is
// asked all the same: its answer is as good.
func (c *Client) require(ctx context.Context, name Capability) (route, error) {
	r, ok := routes[name]
	if !ok {
		return route{}, c.newError(name, KindUnsupported, nil)
	}
	if name == capOpenAPI || name == capHealth {
		return r, nil
	}
	if at := c.undescribed.Load(); at != 0 && time.Since(time.Unix(0, at)) < c.cfg.CapabilityTTL {
		return r, nil
	}
	caps, err := c.Capabilities(ctx)
	if err == nil && !caps.Has(name) && time.Since(caps.ProbedAt) > recheckAfter {
		caps, err = c.probe(ctx)
	}
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && (e.Kind == KindUnsupported || e.Kind == KindMalformed || e.Kind == KindForbidden) {
			c.undescribed.Store(time.Now().UnixNano())
			return r, nil
		}
		return route{}, err
	}
	if !caps.Has(name) {
		e := c.newError(name, KindUnsupported, nil)
		e.Action, e.Alternative, e.ViewerVersion = r.action, r.alternative, caps.Version
		return route{}, e
	}
	return r, nil
}

// noteFailure logs a failure that changes the connection, and invalidates the known
// capabilities after one that a restart as another generation would explain.
func (c *Client) noteFailure(err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok || errors.Is(err, errBreakerOpen) {
		return
	}
	if e.Kind != KindTimeout || !c.Busy() { // over SSH it may answer nobody for minutes
		c.connLog.onFailure(e)
	}
	mismatch := e.Kind == KindUnsupported && e.Status != http.StatusNotImplemented && e.Status != http.StatusServiceUnavailable
	if e.Kind == KindUnreachable || mismatch {
		c.caps.invalidate()
		c.undescribed.Store(0)
	}
}

// lastCapabilities is what the Viewer said last, which may have been another one; it
// is empty if there is nothing.
func (c *Client) lastCapabilities() Capabilities {
	if last, _ := c.caps.get(); last != nil {
		return *last
	}
	return Capabilities{}
}
