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

// maxStatusTime is how long the status files of a page on 0.6 are read: of thousands of
// runs, fifty would take its only thread for five seconds. What is not read by then is
// missing in this answer, and what was read is remembered for the next one.
const maxStatusTime = 2 * time.Second

// readListed reads an entry of a page in full. The list has what the details of 0.5
// and 0.6 have, so they are not asked for. StatusCtx bounds the status files on 0.6.
func readListed(ctx, statusCtx context.Context, e *Entry, known *restclient.PathRuns) *fullRead {
	caps, err := e.Viewer.Client.Capabilities(ctx)
	if err != nil || caps.Generation != restclient.Generation06 {
		statusCtx = ctx
	}
	withDetail := err != nil || caps.Generation == restclient.Generation07
	return readFull(ctx, statusCtx, e.Target(), withDetail, e.Run, known)
}

// minTogether is the minimum number of runs that are worth an archive.
const minTogether = 3

// Prefetch has the search index read the small files that a page in full needs of a Viewer of
// 0.6: together, where that costs less than one by one. Complete finds them at the client, and
// reads the others.
func (s Selector) Prefetch(ctx context.Context, entries []*Entry) {
	var unknown []search.Run
	for _, e := range entries {
		caps, err := e.Viewer.Client.Capabilities(ctx)
		if err == nil && caps.Generation == restclient.Generation06 && e.Viewer.Away() == nil && !e.Viewer.Client.KnowsStatus(e.Run) {
			unknown = append(unknown, search.Run{Viewer: e.Viewer, Listed: e.Run})
		}
	}
	if len(unknown) < minTogether {
		return // Complete asks for each no more than once
	}
	early, cancel := target.WithMargin(ctx)
	defer cancel()
	early, stop := context.WithTimeout(early, maxStatusTime)
	defer stop()
	_, _ = s.Index.Lookup(early, unknown, search.PartTimes, search.Again) // what it could not read Complete reads, or names
}

// awayViewers asks the Viewers of a page whether they are there, and returns why those
// are not that have not said so within timeout. A list may be older than a failure.
func awayViewers(ctx context.Context, entries []*Entry, timeout time.Duration) map[*fleet.Viewer]error {
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

// unread is a run of which nothing was asked, for err.
func unread(t target.Run, err error) *fullRead {
	r := &fullRead{target: t}
	r.status.set(nil, err)
	r.summary.set(nil, err)
	r.meta.set(nil, err)
	return r
}

// group is entries of a page that one request may be about.
type group struct {
	viewer *fleet.Viewer
	top    string // the first step of their paths
}

// readPaths reads summaries and metadata of those entries of a page that share a path
// with others, a request for each Viewer and top folder: a tenth of what the files
// cost. Of the others, and of those that cannot be read so, the result is nil.
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
			continue // the files say what is the matter
		}
		for _, i := range members {
			out[i] = known
		}
	}
	return out
}

// commonPath is the longest path that all members are at or below.
func commonPath(entries []*Entry, members []int) string {
	common := entries[members[0]].Run.Path.Value
	for _, i := range members[1:] {
		for path := entries[i].Run.Path.Value; path != common && !strings.HasPrefix(path, common+"/"); {
			common = common[:max(strings.LastIndexByte(common, '/'), 0)]
		}
	}
	return common
}
