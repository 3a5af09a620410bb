package fleet

import (
	"context"
	"slices"
	"strings"
)

type visibleKey struct{}

// WithVisible limits the context to the configured Viewers of these names and those that
// they have tunneled; without names, to none. For everything that takes the context, other
// Viewers do not exist. A context that was never limited sees every Viewer: it is used for
// the server's own work.
func WithVisible(ctx context.Context, names []string) context.Context {
	return context.WithValue(ctx, visibleKey{}, slices.Clone(names))
}

// Visible reports whether the context allows a Viewer of this name.
func Visible(ctx context.Context, name string) bool {
	names, limited := ctx.Value(visibleKey{}).([]string)
	if !limited {
		return true
	}
	configured, _, _ := strings.Cut(name, ".")
	return slices.Contains(names, configured)
}

// VisibleKey is equal for contexts for which the same Viewers exist: only callers with the
// same key may share an answer about several Viewers.
func VisibleKey(ctx context.Context) string {
	names, limited := ctx.Value(visibleKey{}).([]string)
	if !limited {
		return "all"
	}
	return "only " + strings.Join(slices.Sorted(slices.Values(names)), ",")
}

// visible returns the configured Viewers that exist for the context, the default one first.
func (f *Fleet) visible(ctx context.Context) []*Viewer {
	return slices.DeleteFunc(f.Configured(), func(v *Viewer) bool { return !Visible(ctx, v.Name) })
}

// IsDefault reports whether an empty name means this Viewer: the first one that exists for
// the context.
func (f *Fleet) IsDefault(ctx context.Context, v *Viewer) bool {
	all := f.visible(ctx)
	return len(all) > 0 && all[0] == v
}
