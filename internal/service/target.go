package service

import (
	"context"
	"fmt"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// allViewers is the viewer of a list that means every one.
const allViewers = "-"

// target is one experiment on one Viewer.
type target struct {
	*fleet.Viewer
	runID string
}

// resourceName returns the name of an experiment over all viewers.
func resourceName(viewer, runID string) string {
	return "viewers/" + viewer + "/experiments/" + runID
}

// resourceName returns the target's resource name.
func (t target) resourceName() string { return resourceName(t.Name, t.runID) }

// target finds what a request means by viewer and a run id or resource name,
// which wins. Field is the request's name for the id. A refused id reaches no
// Viewer.
func (d *Config) target(ctx context.Context, viewer, field, id string) (target, error) {
	viewer, id, err := splitRun(viewer, field, id)
	if err != nil {
		return target{}, err
	}
	v, err := d.Fleet.Get(ctx, viewer)
	if err != nil {
		return target{}, err
	}
	return target{Viewer: v, runID: id}, nil
}

// viewerOf is target for a session's Viewer that may not be there any more.
func (d *Config) viewerOf(ctx context.Context, viewer, field, id string) (name, runID string, err error) {
	viewer, id, err = splitRun(viewer, field, id)
	if err != nil {
		return "", "", err
	}
	if _, isSession := d.Fleet.Siblings(viewer); isSession {
		return viewer, id, nil
	}
	v, err := d.Fleet.Get(ctx, viewer)
	if err != nil {
		return "", "", err
	}
	return v.Name, id, nil
}

// notFound is the error of a run that is not there, or not any more.
func (t target) notFound() error {
	return &restclient.Error{Kind: restclient.KindNotFound, Viewer: t.Name, Resource: "run", ResourceID: t.runID}
}

// splitRun reads a run id or resource name, and checks it.
func splitRun(viewer, field, id string) (name, runID string, err error) {
	if rest, ok := strings.CutPrefix(id, "viewers/"); ok {
		var found bool
		if viewer, id, found = strings.Cut(rest, "/experiments/"); !found {
			return "", "", &restclient.IDError{Field: field, Reason: "must be a run id or viewers/{viewer}/experiments/{run_id}"}
		}
	}
	return viewer, id, restclient.CheckID(field, id)
}

// targets finds the run_ids of a request. The field of a refused id has its index.
func (d *Config) targets(ctx context.Context, viewer string, ids []string) ([]target, error) {
	out := make([]target, 0, len(ids))
	for i, id := range ids {
		t, err := d.target(ctx, viewer, fmt.Sprintf("run_ids[%d]", i), id)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// viewers finds what a list means by viewer: all of them, or one.
func (d *Config) viewers(ctx context.Context, viewer string) ([]*fleet.Viewer, error) {
	if viewer == allViewers {
		return d.Fleet.All(ctx), nil
	}
	v, err := d.Fleet.Get(ctx, viewer)
	if err != nil {
		return nil, err
	}
	return []*fleet.Viewer{v}, nil
}

// isResourceName reports whether an id is a resource name.
func isResourceName(id string) bool { return strings.HasPrefix(id, "viewers/") }
