// Package target resolves the Viewers and runs that a request names, and calls several
// Viewers concurrently.
package target

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// Unique removes runs that were named twice, by id and by resource name.
func Unique(targets []Run) []Run {
	seen := make(map[string]bool, len(targets))
	return slices.DeleteFunc(slices.Clone(targets), func(t Run) bool {
		name := t.ResourceName()
		defer func() { seen[name] = true }()
		return seen[name]
	})
}

// AllViewers is the viewer field of a list over all Viewers.
const AllViewers = "-"

// Run is one experiment on one Viewer.
type Run struct {
	*fleet.Viewer
	RunID string
}

// ResourceName returns the name of an experiment that is unique over all Viewers.
func ResourceName(viewer, runID string) string {
	return "viewers/" + viewer + "/experiments/" + runID
}

// ResourceName returns the resource name of the run.
func (t Run) ResourceName() string { return ResourceName(t.Name, t.RunID) }

// Resolver resolves the Viewers and runs that a request names.
type Resolver struct{ Fleet *fleet.Fleet }

// Run resolves a viewer and a run id, or a resource name, which takes precedence. Field
// is the request's name for the id. An invalid id is refused without a request to a
// Viewer.
func (r Resolver) Run(ctx context.Context, viewer, field, id string) (Run, error) {
	viewer, id, err := splitRun(viewer, field, id)
	if err != nil {
		return Run{}, err
	}
	v, err := r.Fleet.Get(ctx, viewer)
	if err != nil {
		return Run{}, err
	}
	return Run{Viewer: v, RunID: id}, nil
}

// ViewerOf is Run for the Viewer of a session, which may no longer exist.
func (r Resolver) ViewerOf(ctx context.Context, viewer, field, id string) (name, runID string, err error) {
	viewer, id, err = splitRun(viewer, field, id)
	if err != nil {
		return "", "", err
	}
	if _, isSession := r.Fleet.Siblings(ctx, viewer); isSession {
		return viewer, id, nil
	}
	v, err := r.Fleet.Get(ctx, viewer)
	if err != nil {
		return "", "", err
	}
	return v.Name, id, nil
}

// NotFound is the error for a run that does not exist, or no longer.
func (t Run) NotFound() error {
	return restclient.NotFound(t.Name, "run", t.RunID, "")
}

// splitRun parses and checks a run id or resource name.
func splitRun(viewer, field, id string) (name, runID string, err error) {
	if rest, ok := strings.CutPrefix(id, "viewers/"); ok {
		var found bool
		if viewer, id, found = strings.Cut(rest, "/experiments/"); !found {
			return "", "", &restclient.IDError{Field: field, Reason: "must be a run id or viewers/{viewer}/experiments/{run_id}"}
		}
	}
	return viewer, id, restclient.CheckID(field, id)
}

// Runs resolves the run_ids of a request. The error of an invalid id has its index in the
// field.
func (r Resolver) Runs(ctx context.Context, viewer string, ids []string) ([]Run, error) {
	out := make([]Run, 0, len(ids))
	for i, id := range ids {
		t, err := r.Run(ctx, viewer, fmt.Sprintf("run_ids[%d]", i), id)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// Viewers returns the Viewers that the viewer field of a list selects: one or all.
func (r Resolver) Viewers(ctx context.Context, viewer string) ([]*fleet.Viewer, error) {
	if viewer == AllViewers {
		return r.Fleet.All(ctx), nil
	}
	v, err := r.Fleet.Get(ctx, viewer)
	if err != nil {
		return nil, err
	}
	return []*fleet.Viewer{v}, nil
}

// IsResourceName reports whether an id is a resource name.
func IsResourceName(id string) bool { return strings.HasPrefix(id, "viewers/") }
