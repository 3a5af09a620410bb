package runs

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// maxStatusTime is how long the status files of a page are read on 0.6. With thousands of
// runs, fifty files would block its only thread for five seconds. Files that were not
// read by then are missing in the response; those that were read are cached for the next
// one.
const maxStatusTime = 2 * time.Second

// readListed reads an entry of a page in full. The details of 0.5 and 0.6 are not
// requested because the list has the same fields. StatusCtx bounds the status files on
// 0.6.
func readListed(ctx, statusCtx context.Context, e *Entry, known *restclient.PathRuns) *fullRead {
	caps, err := e.Viewer.Client.Capabilities(ctx)
	if err != nil || caps.Generation != restclient.Generation06 {
		statusCtx = ctx
	}
	withDetail := err != nil || caps.Generation == restclient.Generation07
	return readFull(ctx, statusCtx, e.Target(), withDetail, e.Run, known)
}

// Prefetch makes the search index read the small files that a FULL page of a Viewer of 0.6
// needs, together if that is cheaper than one by one. Complete then finds them in the
// client's cache, and reads the others.
func (s Selector) Prefetch(ctx context.Context, entries []*Entry) {
	var unknown []search.Run
	for _, e := range entries {
		caps, err := e.Viewer.Client.Capabilities(ctx)
		if err == nil && caps.Generation == restclient.Generation06 && e.Viewer.Away() == nil && !e.Viewer.Client.KnowsStatus(e.Run) {
			unknown = append(unknown, search.Run{Viewer: e.Viewer, Listed: e.Run})
		}
	}
	if len(unknown) < search.MinArchived {
		return // Complete reads them one by one
	}
	early, cancel := target.WithMargin(ctx)
	defer cancel()
	limit := maxStatusTime
	if deadline, ok := early.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2) // the other half is for what is not in the archive
	}
	early, stop := context.WithTimeout(early, limit)
	defer stop()
	_, _ = s.Index.Lookup(early, unknown, search.PartTimes, search.Again) // Complete reads the rest, or reports it as missing
}

// unreachableViewers checks the Viewers of a page, and returns the errors of those that do not
// answer within timeout. Their lists may be older than the failure.
func unreachableViewers(ctx context.Context, entries []*Entry, timeout time.Duration) map[*fleet.Viewer]error {
	var viewers []*fleet.Viewer
	for _, e := range entries {
		if timeout > 0 && !slices.Contains(viewers, e.Viewer) {
			viewers = append(viewers, e.Viewer)
		}
	}
	_, _ = target.ForEachViewer(ctx, viewers, func(ctx context.Context, v *fleet.Viewer) (*restclient.Health, error) {
		return fleet.AskWithin(ctx, v, timeout, func(ctx context.Context, v *fleet.Viewer) (*restclient.Health, error) {
			return v.Client.Health(ctx)
		})
	})
	away := make(map[*fleet.Viewer]error)
	for _, v := range viewers {
		if err := v.Away(); err != nil {
			away[v] = err
		}
	}
	return away
}

// unread is a run for which nothing was requested because of err.
func unread(t target.Run, err error) *fullRead {
	r := &fullRead{target: t}
	r.status.set(nil, err)
	r.summary.set(nil, err)
	r.meta.set(nil, err)
	return r
}

// group is entries of a page that one request can cover.
type group struct {
	viewer *fleet.Viewer
	top    string // the first element of their paths
}

// readPaths reads summaries and metadata of the entries of a page that share a path with
// others, in one request per Viewer and top folder, which costs a tenth of reading the
// files. The result is nil for other entries, and for those that cannot be read this way.
func readPaths(ctx context.Context, entries []*Entry, away map[*fleet.Viewer]error) []*restclient.PathRuns {
	common := make(map[group][]int)
	for i, e := range entries {
		if top, _, _ := strings.Cut(e.Run.Path.Value, "/"); top != "" && away[e.Viewer] == nil && e.Viewer.Client.KnownFiles(e.Run.ID) == nil {
			g := group{e.Viewer, top}
			common[g] = append(common[g], i)
		}
	}
	out := make([]*restclient.PathRuns, len(entries))
	for g, members := range common {
		caps, err := g.viewer.Client.Capabilities(ctx)
		if len(members) == 1 || err != nil || !caps.Has(restclient.CapPathRuns) {
			continue
		}
		known, err := g.viewer.Client.PathRuns(ctx, commonPath(entries, members))
		if err != nil {
			continue // reading the files will return the error
		}
		for _, i := range members {
			out[i] = known
		}
	}
	return out
}

// commonPath returns the longest path that contains all members.
func commonPath(entries []*Entry, members []int) string {
	common := entries[members[0]].Run.Path.Value
	for _, i := range members[1:] {
		for path := entries[i].Run.Path.Value; path != common && !strings.HasPrefix(path, common+"/"); {
			common = common[:max(strings.LastIndexByte(common, '/'), 0)]
		}
	}
	return common
}
