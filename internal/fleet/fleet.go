// Package fleet keeps the Viewers behind this server by their names: those
// that the operator configured and, discovered by asking them, the remote
// Viewers that they have tunneled, which are called {viewer}.{session_id}.
//
// It must not know gRPC, HTTP or what is asked of a Viewer: it hands out
// clients. A call names a viewer, Get gives its entry, and the entry's Client
// does the rest; "-" is the callers' word for All. Nothing about a tunnel is
// remembered beyond what its Viewer lists, so every replica of this server
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
	// Name is what requests call it.
	Name string
	// Client reaches it.
	Client *restclient.Client
	// Parent is the Viewer that has tunneled this one; nil if this one was
	// configured.
	Parent *Viewer

	session *session // nil if this one was configured
	fleet   *Fleet
	away    atomic.Pointer[awayState]
}

// Entry names a Viewer to be configured.
type Entry struct {
	// Name is what requests call it; made up where empty.
	Name string
	// URL is where it is.
	URL string
	// CAFile and AuthFile are as in restclient.Config. They are for this Viewer only,
	// not for those that it has tunneled.
	CAFile, AuthFile string
}

// Fleet is the set of named Viewers. It is safe for concurrent use.
type Fleet struct {
	configured []*Viewer
	tunnels    map[string]*tunnels // by the name of the configured Viewer
	queries    sync.WaitGroup      // the queries that continue without a caller
	ctx        context.Context     //nolint:containedctx // of the queries, which outlive their callers
	stop       context.CancelFunc  // ends them
	// fanOutTimeout is how long calls over all Viewers wait for one.
	fanOutTimeout time.Duration
	changes       changes
	started       started
}

// UnknownError says that no Viewer has a name.
type UnknownError struct {
	// Name is what was asked for.
	Name string
	// Known are the names that there are.
	Known []string
	// Reason says more, such as why a tunneled one cannot be reached; it may
	// be empty.
	Reason string
}

// Error names the unknown one and the known ones.
func (e *UnknownError) Error() string {
	text := fmt.Sprintf("no viewer is called %q; known are %s", e.Name, strings.Join(e.Known, ", "))
	if e.Reason != "" {
		text += "; " + e.Reason
	}
	return text
}

// validName leaves out the dot, which separates a tunneled Viewer's session
// from the Viewer that holds it, and all that has a meaning in URLs.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// New returns the fleet of the entries, the first being the default. Each
// client is made from a copy of base with the entry's name and URL.
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

// EntryName is what the i-th of the entries is called.
func EntryName(i int, e Entry) string {
	switch {
	case e.Name != "":
		return e.Name
	case i == 0:
		return "default"
	}
	return fmt.Sprintf("viewer-%d", i+1)
}

// IgnoreTunnels has the fleet know the configured Viewers only. It is for the
// time before the first call.
func (f *Fleet) IgnoreTunnels() { clear(f.tunnels) }

// Get returns the Viewer of a name; the empty name means the first one that exists for ctx. For
// the name of a tunneled one it may ask the Viewer that holds the tunnel, and
// wait for it as long as ctx allows and 10 s at most. The errors are an
// *UnknownError, an *EndedError, or that of the query.
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

// tunnelsOf returns what is known of the remote Viewers of a configured one, by its name;
// nil if there is none.
func (f *Fleet) tunnelsOf(ctx context.Context, parent string) *tunnels {
	if !Visible(ctx, parent) {
		return nil
	}
	return f.tunnels[parent]
}

// All returns every Viewer that exists for ctx, the default one first and the tunneled ones last.
// It asks the Viewers for their tunnels, not more often than every 3 s, and
// goes without those of a Viewer that does not answer within half a second.
func (f *Fleet) All(ctx context.Context) []*Viewer {
	all := f.visible(ctx)
	var refreshes sync.WaitGroup
	for _, v := range all {
		if t := f.tunnels[v.Name]; t != nil {
			refreshes.Go(func() { t.refreshIfStale(ctx) })
		}
	}
	refreshes.Wait()
	return f.withTunnelled(all)
}

// withTunnelled adds the remote Viewers of configured ones, as known now.
func (f *Fleet) withTunnelled(configured []*Viewer) []*Viewer {
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

// unknown says that no Viewer has a name, and names those that exist for ctx.
func (f *Fleet) unknown(ctx context.Context, name, reason string) error {
	e := &UnknownError{Name: name, Reason: reason}
	for _, v := range f.withTunnelled(f.visible(ctx)) {
		e.Known = append(e.Known, v.Name)
	}
	return e
}

// Close ends what is being asked and gives up idle connections.
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
