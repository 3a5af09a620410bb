// Package fleet holds the Viewers behind this server by name: those that the operator
// configured, and the remote Viewers that they have tunneled, which are discovered by
// querying them and are named {viewer}.{session_id}.
//
// It must not know gRPC, HTTP or the requests to a Viewer: it hands out clients. Nothing is
// remembered about a tunnel beyond what its Viewer lists, so every replica of this server
// knows the same ones.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// Viewer is one named Viewer.
type Viewer struct {
	// Name is its name in requests.
	Name string
	// Client is the client of the Viewer.
	Client *restclient.Client
	// Parent is the Viewer that has tunneled this one; nil if this one is configured.
	Parent *Viewer

	session *session // nil if this one is configured
	fleet   *Fleet
	away    atomic.Pointer[awayState]
}

// Entry configures a Viewer.
type Entry struct {
	// Name is its name in requests; generated if empty.
	Name string
	// URL is its address.
	URL string
	// CAFile and AuthFile are as in restclient.Config. They apply to this Viewer only, not
	// to those that it has tunneled.
	CAFile, AuthFile string
}

// Fleet is the set of named Viewers. It is safe for concurrent use.
type Fleet struct {
	configured []*Viewer
	tunnels    map[string]*tunnels // by the name of the configured Viewer
	queries    sync.WaitGroup      // queries that continue without a caller
	ctx        context.Context     //nolint:containedctx // of the queries, which outlive their callers
	stop       context.CancelFunc  // cancels ctx
	// fanOutTimeout is how long calls over all Viewers wait for each of them.
	fanOutTimeout time.Duration
	changes       changes
	started       started
}

// UnknownError reports that no Viewer has the name.
type UnknownError struct {
	// Name is the requested name.
	Name string
	// Known are the existing names.
	Known []string
	// Reason is additional information, such as why a tunneled Viewer cannot be reached; it
	// may be empty.
	Reason string
}

// Error names the unknown Viewer and the known ones.
func (e *UnknownError) Error() string {
	text := fmt.Sprintf("no viewer is called %q; known are %s", e.Name, strings.Join(e.Known, ", "))
	if e.Reason != "" {
		text += "; " + e.Reason
	}
	return text
}

// validName excludes the dot, which separates a tunneled Viewer's session from its parent,
// and all characters with a meaning in URLs.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// New returns the fleet of the entries; the first one is the default. Each client is made
// from a copy of base with the entry's name and URL.
func New(entries []Entry, base restclient.Config) (*Fleet, error) {
	if len(entries) == 0 {
		return nil, errors.New("no viewer is configured")
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &Fleet{ctx: ctx, stop: stop, fanOutTimeout: DefaultFanOutTimeout, tunnels: make(map[string]*tunnels)}
	for i, entry := range entries {
		name := EntryName(i, entry)
		if !validName.MatchString(name) {
			return nil, fmt.Errorf("viewer name %q: want letters, digits, - and _, at most 63", name)
		}
		if slices.ContainsFunc(f.configured, func(v *Viewer) bool { return v.Name == name }) {
			return nil, fmt.Errorf("viewer name %q is given twice", name)
		}
		cfg := base
		cfg.Name, cfg.BaseURL, cfg.CAFile, cfg.AuthFile = name, entry.URL, entry.CAFile, entry.AuthFile
		client, err := restclient.New(cfg)
		if err != nil {
			return nil, fmt.Errorf("viewer %s: %w", name, err)
		}
		viewer := &Viewer{Name: name, Client: client, fleet: f}
		f.configured = append(f.configured, viewer)
		f.tunnels[name] = newTunnels(ctx, f, viewer, base)
	}
	return f, nil
}

// EntryName returns the name of the i-th entry.
func EntryName(i int, e Entry) string {
	switch {
	case e.Name != "":
		return e.Name
	case i == 0:
		return "default"
	}
	return fmt.Sprintf("viewer-%d", i+1)
}

// IgnoreTunnels limits the fleet to the configured Viewers. It must be called before the
// first call.
func (f *Fleet) IgnoreTunnels() { clear(f.tunnels) }

// Get returns the Viewer of a name; the empty name means the first one that exists for ctx.
// For a tunneled Viewer it may query the parent, and wait as long as ctx allows, at most 10
// s. The errors are an *UnknownError, an *EndedError, or that of the query.
func (f *Fleet) Get(ctx context.Context, name string) (*Viewer, error) {
	for _, v := range f.visible(ctx) {
		if v.Name == name || name == "" {
			return v, nil
		}
	}
	parent, sessionID, tunneled := strings.Cut(name, ".")
	t := f.tunnelsOf(ctx, parent)
	if !tunneled || t == nil || !validSession.MatchString(sessionID) {
		return nil, f.unknown(ctx, name, "")
	}
	return t.get(ctx, sessionID)
}

// tunnelsOf returns the tunnels of a configured Viewer by its name, or nil.
func (f *Fleet) tunnelsOf(ctx context.Context, parent string) *tunnels {
	if !Visible(ctx, parent) {
		return nil
	}
	return f.tunnels[parent]
}

// All returns every Viewer that exists for ctx, the default one first and the tunneled ones
// last. It queries the Viewers for their tunnels, at most every 3 s, and omits those of a
// Viewer that does not answer within half a second.
func (f *Fleet) All(ctx context.Context) []*Viewer {
	all := f.visible(ctx)
	var refreshes sync.WaitGroup
	for _, v := range all {
		if t := f.tunnels[v.Name]; t != nil {
			refreshes.Go(func() { t.refreshIfStale(ctx) })
		}
	}
	refreshes.Wait()
	return f.withTunneled(all)
}

// withTunneled adds the known remote Viewers of configured ones.
func (f *Fleet) withTunneled(configured []*Viewer) []*Viewer {
	all := slices.Clone(configured)
	for _, v := range configured {
		if t := f.tunnels[v.Name]; t != nil {
			all = append(all, t.reachable()...)
		}
	}
	return all
}

// Configured returns the Viewers that the operator configured, the default one
// first.
func (f *Fleet) Configured() []*Viewer { return slices.Clone(f.configured) }

// Names returns the names of the configured Viewers.
func (f *Fleet) Names() []string {
	names := make([]string, 0, len(f.configured))
	for _, v := range f.configured {
		names = append(names, v.Name)
	}
	return names
}

// unknown returns the error for a name without a Viewer; it lists those that exist for ctx.
func (f *Fleet) unknown(ctx context.Context, name, reason string) error {
	e := &UnknownError{Name: name, Reason: reason}
	for _, v := range f.withTunneled(f.visible(ctx)) {
		e.Known = append(e.Known, v.Name)
	}
	return e
}

// Close cancels queries and closes idle connections.
func (f *Fleet) Close() {
	f.stop()
	f.queries.Wait()
	for _, v := range f.configured {
		v.Client.Close()
	}
	for _, t := range f.tunnels {
		t.close()
	}
}
