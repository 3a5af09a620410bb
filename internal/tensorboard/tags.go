package tensorboard

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// tag is one tag of a run, with the requested points in one of three forms. It is immutable
// and shared.
type tag struct {
	name      string
	step      int64   // the highest
	time      float64 // of the point at the highest step, in Unix seconds
	maxLength int64   // of blob sequences

	scalars *tensorboardpb.ScalarData
	tensors *tensorboardpb.TensorData
	blobs   *tensorboardpb.BlobSequenceData
}

// bytes estimates the memory of a tag.
func (t *tag) bytes() int64 {
	const overhead, point = 320, 20 // a point has step, time and value
	n := int64(overhead + len(t.name) + point*len(t.scalars.GetStep()))
	// The size of tensors and blobs is mostly that of texts and keys.
	return n + 2*int64(proto.Size(t.tensors)+proto.Size(t.blobs))
}

// plugin makes the tags of one plugin. List requests are handled as reads of 0 points.
type plugin struct {
	name string
	// known makes the tags of an ended run from its search record.
	known func(*run, *search.Record) []tag
	// hasPoints reports whether those tags include numPoints points.
	hasPoints func(numPoints int) bool
	// read makes the tags of a parsed run. To limit memory it may omit tags that are not
	// wanted; then isPartial is true.
	read func(v *runcache.View, r *run, numPoints int, wanted names) (tags []tag, isPartial bool, err error)
	// hasLogs adds the logs of runs as tags.
	hasLogs bool
}

// runTags is the tags of one run.
type runTags struct {
	*run
	tags []tag
}

const (
	// parallelReads is the number of runs that one call reads concurrently. The client of
	// each Viewer limits its requests further.
	parallelReads = 16
	// maxAge is the maximum age of the data of a running run.
	maxAge = 3 * time.Second
)

// respond handles a List or Read request. build makes the response from the tags of the runs;
// for plugins that are not supported it gets none.
func respond[Req request, Resp proto.Message](ctx context.Context, s *Server, p *plugin, req Req, build func([]runTags) Resp) (Resp, error) {
	numPoints, err := check(req)
	if err != nil || req.GetPluginFilter().GetPluginName() != p.name {
		return build(nil), err
	}
	return share(ctx, s, req, func(ctx context.Context, req Req) (Resp, error) {
		runs, err := s.tagsOfRuns(ctx, p, req, numPoints)
		return build(runs), err
	})
}

// tagsOfRuns returns the wanted tags of each run that has any. Runs that cannot be read are
// omitted.
func (s *Server) tagsOfRuns(ctx context.Context, p *plugin, q request, numPoints int) ([]runTags, error) {
	l, err := s.list(ctx, q.GetExperimentId())
	if err != nil {
		return nil, err
	}
	runs := l.selectRuns(q.GetRunTagFilter())
	wanted := namesOf(q.GetRunTagFilter().GetTags())
	if len(runs) == 0 || wanted != nil && len(wanted) == 0 {
		return nil, nil
	}
	known, err := s.known(ctx, p, runs, wanted)
	if err != nil {
		return nil, err
	}
	numPoints = limitPoints(known, numPoints)
	out, wantsLogs := make([]runTags, len(runs)), p.hasLogs && wanted.has(logTag)
	var g errgroup.Group
	g.SetLimit(parallelReads)
	early, cancel := target.WithMargin(ctx)
	defer cancel()
	for i, r := range runs {
		out[i].run = r
		tags, ok := known[r]
		isKnown := ok && (len(tags) == 0 || p.hasPoints(numPoints))
		if isKnown && !wantsLogs {
			out[i].tags = tags
			continue
		}
		g.Go(func() error {
			if !isKnown {
				tags, _ = s.tags(early, p, r, numPoints, wanted) // a run that cannot be read has none
			}
			if wantsLogs {
				tags = append([]tag{s.log(ctx, r, numPoints)}, tags...)
			}
			out[i].tags = tags
			return nil
		})
	}
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(r runTags) bool { return len(r.tags) == 0 }), nil
}

// known returns the wanted tags of ended runs from the search index. Runs that the index
// cannot read are not in the result.
func (s *Server) known(ctx context.Context, p *plugin, runs []*run, wanted names) (map[*run][]tag, error) {
	ended := slices.DeleteFunc(slices.Clone(runs), func(r *run) bool { return !r.isEnded() })
	records, err := s.records(ctx, ended)
	if err != nil {
		return nil, err
	}
	known := make(map[*run][]tag, len(ended))
	for i, r := range ended {
		if records[i] != nil {
			known[r] = filterTags(p.known(r, records[i]), wanted)
		}
	}
	return known, nil
}

// records returns the search records of runs; nil for those that cannot be read. It requests
// all parts, whatever the caller needs: a page of TensorBoard needs all of them, and an
// archive of many runs contains all of them. The summaries are first, because one request
// returns those of all runs of a path.
func (s *Server) records(ctx context.Context, runs []*run) ([]*search.Record, error) {
	lookup := make([]search.Run, len(runs))
	for i, r := range runs {
		if lookup[i] = r.Run; r.isEnded() {
			s.store.seenEnded(r) // so that points that the index reads now are not read again
		}
	}
	early, cancel := target.WithMargin(ctx)
	defer cancel()
	if _, err := s.index.Lookup(early, lookup, search.PartSummary, search.Steady); err != nil {
		return nil, err
	}
	res, err := s.index.Lookup(early, lookup, search.PartMetrics|search.PartConfig, search.Steady)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	return res.Records, nil
}

func filterTags(tags []tag, wanted names) []tag {
	if wanted == nil {
		return tags
	}
	var kept []tag
	for i := range tags {
		if wanted[tags[i].name] {
			kept = append(kept, tags[i])
		}
	}
	return kept
}

// maxResponsePoints bounds the points of all runs and tags of a response; so many take about
// 150 MB.
const maxResponsePoints = 8_000_000

// limitPoints halves the number of points of each run and tag until the response is within
// maxResponsePoints.
func limitPoints(known map[*run][]tag, numPoints int) int {
	tags := 0
	for _, t := range known {
		tags += len(t)
	}
	for numPoints > 1 && tags*numPoints > maxResponsePoints {
		numPoints /= 2
	}
	return numPoints
}

// tags returns the wanted tags of a run with their points.
func (s *Server) tags(ctx context.Context, p *plugin, r *run, numPoints int, wanted names) ([]tag, error) {
	key := storeKey{r.Viewer.Name, r.Listed.ID, p.name, numPoints}
	now := time.Now()
	if v, ok := s.store.get(key, r.Version(), now); ok {
		return filterTags(v.tags, wanted), nil
	}
	since := now.Add(-maxAge)
	if r.isEnded() {
		since = s.store.seenEnded(r)
	} else {
		s.store.removeEnded(r)
	}
	v := stored{version: r.Version()}
	isPartial, src := false, r.source()
	err := s.cache.ReadSince(ctx, src.Key, src, since, func(view *runcache.View) (err error) {
		// The cache keeps a table that was expensive for its Viewer longer. If it was read
		// before the run was seen to have ended, it may lack the last points.
		if !r.isEnded() || view.ReadTime.Before(since) {
			v.expires = view.ReadTime.Add(maxAge)
		}
		v.tags, isPartial, err = p.read(view, r, numPoints, wanted)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(v.tags, func(a, b tag) int { return strings.Compare(a.name, b.name) })
	if !isPartial {
		s.store.put(key, v)
	}
	return filterTags(v.tags, wanted), nil
}

// summary returns the metadata of the tags of a plugin.
func summary(plugin string, class tensorboardpb.DataClass, content []byte) *tensorboardpb.SummaryMetadata {
	return &tensorboardpb.SummaryMetadata{
		PluginData: &tensorboardpb.PluginData{PluginName: plugin, Content: content}, DataClass: class,
	}
}
