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

// maxOpenAPI limits the size of /openapi.json, which has 30 to 100 KB.
const maxOpenAPI = 16 << 20

// capabilityTTL is how long probed routes are cached.
const capabilityTTL = 5 * time.Minute

// minProbeInterval is the minimum time between probes, so that a route that always
// fails does not double the load.
const minProbeInterval = time.Second

// recheckAfter is the maximum age of a probe that leads to a refused call.
const recheckAfter = 5 * time.Second

// The names of the generations, derived from what a Viewer can do.
const (
	Generation05 = "0.5"
	Generation06 = "0.6"
	Generation07 = "0.7"
)

// Capabilities is what one Viewer can do, derived from its /openapi.json. It is immutable.
type Capabilities struct {
	// Generation is the closest known generation.
	Generation string
	// Version is what the Viewer reports. 0.5.3 reports 0.5.2, so no decision may depend on
	// it.
	Version string
	// ProbedAt is when the Viewer was probed.
	ProbedAt time.Time

	has map[Capability]bool
}

// Has reports whether the Viewer has a capability.
func (c *Capabilities) Has(name Capability) bool { return c.has[name] }

// List returns the names of all capabilities, sorted.
func (c *Capabilities) List() []Capability { return slices.Sorted(maps.Keys(c.has)) }

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// operation returns a method and a path without placeholder names, which differ between
// generations.
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

// openAPI is the part of /openapi.json that is used.
type openAPI struct {
	Info struct {
		Title   string `json:"title"`
		Version string `json:"version"`
	} `json:"info"`
	Paths map[string]map[string]ignored `json:"paths"`
}

// ignored is a value of any type that is skipped.
type ignored struct{}

// UnmarshalJSONFrom skips the value.
func (*ignored) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return dec.SkipValue() }

// otherThanViewer names the server behind a description that is not a Viewer's.
func (d *openAPI) otherThanViewer(caps *Capabilities) string {
	if _, ok := d.Paths["/v1/experiments"]; ok {
		return "a runicorn-grpc server, maybe this one"
	}
	if len(caps.has) == 1 { // every server with a description has that route
		return fmt.Sprintf("%q, which has none of its routes", scrub.Text(d.Info.Title, nil))
	}
	return ""
}

// notViewer returns the error for an address at which another server answers.
func (c *Client) notViewer(name Capability, what string) *Error {
	e := c.newError(name, KindUnreachable, errNotViewer)
	e.Address, e.Detail = c.BaseURL(), "the address is not a Runicorn Viewer, but "+what
	return e
}

var errNotViewer = errors.New("this is not a Runicorn Viewer")

var errNoPaths = errors.New("/openapi.json describes no routes")

// Capabilities returns what the Viewer can do, cached while it is fresh. The Viewer is
// probed again after it was unreachable or answered unexpectedly, because another
// generation may have been started in its place.
func (c *Client) Capabilities(ctx context.Context) (*Capabilities, error) {
	caps, current := c.caps.get()
	if caps != nil {
		age := time.Since(caps.ProbedAt)
		if age <= capabilityTTL && (current || age <= minProbeInterval) {
			return caps, nil
		}
	}
	return c.probe(ctx)
}

// probe reads the Viewer's routes.
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

// require returns the route of a capability, or KindUnsupported if the Viewer is known to
// lack it. If the description cannot be read, the call is sent anyway and its answer
// decides.
func (c *Client) require(ctx context.Context, name Capability) (route, error) {
	r, ok := routes[name]
	if !ok {
		return route{}, c.newError(name, KindUnsupported, nil)
	}
	if name == capOpenAPI || name == capHealth {
		return r, nil
	}
	if at := c.undescribed.Load(); at != 0 && time.Since(time.Unix(0, at)) < capabilityTTL {
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

// noteFailure logs a failure that changes the connection state, and invalidates the known
// capabilities if a restart as another generation would explain the failure.
func (c *Client) noteFailure(err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok || errors.Is(err, errBreakerOpen) {
		return
	}
	if e.Kind != KindTimeout || !c.Busy() { // during SSH work it may not answer for minutes
		c.connLog.onFailure(e)
	}
	mismatch := e.Kind == KindUnsupported && e.Status != http.StatusNotImplemented && e.Status != http.StatusServiceUnavailable
	if e.Kind == KindUnreachable || mismatch {
		c.caps.invalidate()
		c.undescribed.Store(0)
	}
}

// lastCapabilities returns the last known capabilities, possibly of another release; empty
// if none are known.
func (c *Client) lastCapabilities() Capabilities {
	if last, _ := c.caps.get(); last != nil {
		return *last
	}
	return Capabilities{}
}
