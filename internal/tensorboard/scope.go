package tensorboard

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	// defaultExperiment is the id that Time Series always requests: the scope of the
	// authority, or all Viewers.
	defaultExperiment = "defaultExperimentId"
	// scopeSuffix ends an authority that contains a scope. Resolvers map such names to
	// loopback: tensorboard --grpc_data_provider=VIEWER.localhost:PORT.
	scopeSuffix = ".localhost"
	// pathSeparator replaces the slashes between the Viewer and the elements of a path,
	// because TensorBoard's URLs cannot contain slashes there.
	pathSeparator = "~"
)

// listing is the runs of a scope.
type listing struct {
	scope   string   // as requested; empty for all Viewers
	viewers []string // names of those that responded
	missing []string // errors of the others
	runs    []*run
	byName  map[string]*run
}

type run struct {
	search.Run
	name   string
	listed time.Time // when the list was requested from its Viewer
}

// isEnded reports whether the list has a terminal status for the run.
func (r *run) isEnded() bool { return runsource.IsTerminal(r.Listed.Status) }

// created is the creation time, in Unix seconds; 0 if unknown.
func (r *run) created() float64 {
	if r.Listed.CreatedTime.IsZero() {
		return 0
	}
	return float64(r.Listed.CreatedTime.UnixMicro()) / 1e6
}

// source reads the run.
func (r *run) source() runsource.Run {
	return runsource.Run{Client: r.Viewer.Client, Key: runsource.Key{Viewer: r.Viewer.Name, RunID: r.Listed.ID}}
}

// list returns the runs of an experiment id: all Viewers, VIEWER, or VIEWER~path for the runs
// at or below a path. For the default id, the authority selects the scope.
func (s *Server) list(ctx context.Context, experiment string) (*listing, error) {
	if experiment == "" || experiment == defaultExperiment {
		experiment = scopeOf(authority(ctx))
	}
	viewer, path, _ := strings.Cut(experiment, pathSeparator)
	if viewer == "" {
		viewer = target.AllViewers
	}
	resolver := target.Resolver{Fleet: s.fleet}
	viewers, err := resolver.Viewers(ctx, s.canonicalName(ctx, viewer))
	if err != nil {
		return nil, err
	}
	lists, errs := target.ForEachViewer(ctx, viewers, func(ctx context.Context, v *fleet.Viewer) (*restclient.RunList, error) {
		if len(viewers) == 1 {
			return v.Client.Runs(ctx)
		}
		return fleet.AskWithin(ctx, v, s.fleet.FanOutTimeout(), func(ctx context.Context, v *fleet.Viewer) (*restclient.RunList, error) {
			return v.Client.Runs(ctx)
		})
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	l := &listing{scope: experiment, byName: map[string]*run{}}
	for i, v := range viewers {
		if errs[i] != nil {
			l.missing = append(l.missing, fmt.Sprintf("viewer %s: %s", v.Name, errmap.APIError(ctx, errs[i]).Message))
			continue
		}
		l.viewers = append(l.viewers, v.Name)
		l.add(v, lists[i], path, len(viewers) > 1)
	}
	if path != "" && len(l.runs) == 0 && len(l.missing) == 0 {
		return nil, unknownPath(viewer, path)
	}
	slices.SortFunc(l.runs, func(a, b *run) int {
		return cmp.Or(b.Listed.CreatedTime.Compare(a.Listed.CreatedTime.Time), strings.Compare(a.name, b.name))
	})
	return l, nil
}

// canonicalName returns the configured name of a Viewer. The case is ignored, because host
// names are case-insensitive.
func (s *Server) canonicalName(ctx context.Context, viewer string) string {
	names := slices.DeleteFunc(s.fleet.Names(), func(name string) bool { return !fleet.Visible(ctx, name) })
	if i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, viewer) }); i >= 0 && !slices.Contains(names, viewer) {
		return names[i]
	}
	return viewer
}

// add adds the runs of a Viewer that are at or below a path.
func (l *listing) add(v *fleet.Viewer, list *restclient.RunList, path string, isOneOfMany bool) {
	for i := range list.Runs {
		listed := &list.Runs[i]
		at := pathOf(listed)
		if flat := strings.ReplaceAll(at, "/", pathSeparator); path != "" && flat != path && !strings.HasPrefix(flat, path+pathSeparator) {
			continue
		}
		name := nameOf(listed, at)
		if isOneOfMany {
			name = v.Name + "/" + name
		}
		r := &run{Run: search.Run{Viewer: v, Listed: listed}, name: name, listed: list.At}
		l.runs = append(l.runs, r)
		l.byName[name] = r
	}
}

// pathOf is the path of a run, for all generations of Viewers.
func pathOf(r *restclient.Run) string {
	if r.Path.Known {
		return r.Path.Value
	}
	return r.Project.Value + "/" + r.Name.Value
}

// nameOf is the path of the run, its alias, and its id, which makes the name unique. The
// space permits a line break in long names. TensorBoard does not accept a leading slash.
func nameOf(r *restclient.Run, path string) string {
	if r.Alias.Value != "" {
		path += "/" + r.Alias.Value
	}
	return convert.Text(strings.TrimSpace(strings.Trim(path, "/") + " " + r.ID))
}

// authority is the host that the caller has connected to.
func authority(ctx context.Context) string {
	if values := metadata.ValueFromIncomingContext(ctx, ":authority"); len(values) > 0 {
		return values[0]
	}
	return ""
}

// scopeOf is the scope in an authority; empty if there is none.
func scopeOf(authority string) string {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = authority
	}
	scope, ok := strings.CutSuffix(host, scopeSuffix)
	if !ok {
		return ""
	}
	return scope
}

// unknownPath is the error of a path without runs.
func unknownPath(viewer, path string) error {
	return &apierr.Error{
		Code: codes.NotFound, Reason: runicornapiv1.ErrorReason_ERROR_REASON_RUN_NOT_FOUND,
		Message: fmt.Sprintf("viewer %s has no runs at or below %s", viewer, strings.ReplaceAll(path, pathSeparator, "/")),
	}
}
