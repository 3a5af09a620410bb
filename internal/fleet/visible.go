package fleet

import (
	"context"
	"slices"
	"strings"
)

type visibleKey struct{}

// WithVisible limits what is done with the context to the configured Viewers of these
// names, and to those that they have tunneled; no name is no Viewer at all. For Get, All
// and all else that takes the context, the others do not exist. A context that was never
// limited sees every Viewer: it is that of the server's own work.
func WithVisible(ctx context.Context, names []string) context.Context {
	return context.WithValue(ctx, visibleKey{}, slices.Clone(names))
}

// Visible reports whether a Viewer of this name, if there is one, exists for the context.
func Visible(ctx context.Context, name string) bool {
	names, limited := ctx.Value(visibleKey{}).([]string)
	if !limited {
		return true
	}
	configured, _, _ := strings.Cut(name, ".")
	return slices.Contains(names, configured)
}

// VisibleKey is the same for contexts for which the same Viewers exist: only callers of one
// key may share an answer about several Viewers.
func VisibleKey(ctx context.Context) string {
	names, limited := ctx.Value(visibleKey{}).([]string)
	if !limited {
		return "all"
	}
	return "only " + strings.Join(slices.Sorted(slices.Values(names)), ",")
}

// visible returns the configured Viewers that exist for the context, the default one
// first.
func (f *Fleet) visible(ctx context.Context) []*Viewer {
	return slices.DeleteFunc(f.Configured(), func(v *Viewer) bool { return !Visible(ctx, v.Name) })
}

// IsDefault reports whether an empty name means this Viewer: the first one that exists
// for the context.
func (f *Fleet) IsDefault(ctx context.Context, v *Viewer) bool {
	all := f.visible(ctx)
	return len(all) > 0 && all[0] == v
}
