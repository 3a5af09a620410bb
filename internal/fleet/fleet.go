// Package fleet keeps the Viewers behind this server by their names: those
// that the operator configured and, discovered by asking them, the remote
// Viewers that they have tunnelled.
//
// It must not know gRPC, HTTP or what is asked of a Viewer: it hands out
// clients. A call names a viewer, Get gives its entry, and the entry's Client
// does the rest; "-" is the callers' word for All.
package fleet

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// Viewer is one named Viewer.
type Viewer struct {
	// Name is what requests call it.
	Name string
	// Client reaches it.
	Client *restclient.Client
	// Default is true for the one that an empty name means.
	Default bool
}

// Entry names a Viewer to be configured.
type Entry struct {
	// Name is what requests call it; made up where empty.
	Name string
	// URL is where it is.
	URL string
}

// Fleet is the set of named Viewers. It is safe for concurrent use.
type Fleet struct {
	configured []*Viewer
}

// UnknownError says that no Viewer has a name.
type UnknownError struct {
	// Name is what was asked for.
	Name string
	// Known are the names that there are.
	Known []string
}

// Error names the unknown one and the known ones.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("no viewer is called %q; known are %s", e.Name, strings.Join(e.Known, ", "))
}

// validName leaves out the dot, which separates a tunnelled Viewer's session
// from the Viewer that holds it, and all that has a meaning in URLs.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// New returns the fleet of the entries, the first being the default. Each
// client is made from a copy of base with the entry's name and URL.
func New(entries []Entry, base restclient.Config) (*Fleet, error) {
	if len(entries) == 0 {
		return nil, errors.New("no viewer is configured")
	}
	f := &Fleet{}
	for i, entry := range entries {
		name := entry.Name
		if name == "" {
			name = madeUpName(i)
		}
		if !validName.MatchString(name) {
			return nil, fmt.Errorf("viewer name %q: want letters, digits, - and _, at most 63", name)
		}
		if slices.ContainsFunc(f.configured, func(v *Viewer) bool { return v.Name == name }) {
			return nil, fmt.Errorf("viewer name %q is given twice", name)
		}
		cfg := base
		cfg.Name, cfg.BaseURL = name, entry.URL
		client, err := restclient.New(cfg)
		if err != nil {
			return nil, fmt.Errorf("viewer %s: %w", name, err)
		}
		f.configured = append(f.configured, &Viewer{Name: name, Client: client, Default: i == 0})
	}
	return f, nil
}

// madeUpName names the i-th Viewer of those without a name.
func madeUpName(i int) string {
	if i == 0 {
		return "default"
	}
	return fmt.Sprintf("viewer-%d", i+1)
}

// Get returns the Viewer of a name; the empty name means the default one. The
// error is an *UnknownError.
func (f *Fleet) Get(name string) (*Viewer, error) {
	for _, v := range f.configured {
		if v.Name == name || (name == "" && v.Default) {
			return v, nil
		}
	}
	return nil, &UnknownError{Name: name, Known: f.Names()}
}

// All returns every Viewer, the default one first.
func (f *Fleet) All() []*Viewer { return slices.Clone(f.configured) }

// Names returns the names of all Viewers.
func (f *Fleet) Names() []string {
	names := make([]string, 0, len(f.configured))
	for _, v := range f.configured {
		names = append(names, v.Name)
	}
	return names
}

// Close gives up idle connections.
func (f *Fleet) Close() {
	for _, v := range f.configured {
		v.Client.Close()
	}
}
