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

// tag is one tag of a run: what is known of it, and the points that were asked for in one
// of the three forms. It is immutable and shared.
type tag struct {
	name      string
	step      int64   // the greatest
	time      float64 // of the point there, in unix seconds
	maxLength int64   // of sequences of blobs

	scalars *tensorboardpb.ScalarData
	tensors *tensorboardpb.TensorData
	blobs   *tensorboardpb.BlobSequenceData
}

// bytes estimates the memory of a tag.
func (t *tag) bytes() int64 {
	const overhead, point = 320, 20 // step, time and value
	n := int64(overhead + len(t.name) + point*len(t.scalars.GetStep()))
	// Texts and keys are most of the others.
	return n + 2*int64(proto.Size(t.tensors)+proto.Size(t.blobs))
}

// plugin is how the tags of one plugin are made. No points at all, num_points being 0, is
// what the lists ask for.
type plugin struct {
	name string
	// known are the tags of a run that has ended, as the search index knows them.
	known func(*run, *search.Record) []tag
	// answers says whether those have the points that are asked for.
	answers func(numPoints int) bool
	// read makes the tags of a parsed run. It may leave out tags that are not wanted
	// where it would have to hold too much, and says so.
	read func(v *runcache.View, r *run, numPoints int, wanted names) (tags []tag, isPart bool, err error)
	// hasLogs says that the logs of runs are tags of it.
	hasLogs bool
}

// runTags is the tags of one run.
type runTags struct {
	*run
	tags []tag
}

const (
	// parallelReads is how many runs one call reads at a time. Each Viewer's client has
	// its own bound on top.
	parallelReads = 16
	// maxAge is how old what is known of a run that runs may be.
	maxAge = 3 * time.Second
)

// answer answers a list or a read with what build makes of the runs. Of plugins that have
// no data there it has nothing.
func answer[Req question, Resp proto.Message](ctx context.Context, s *Server, p *plugin, req Req, build func([]runTags) Resp) (Resp, error) {
	numPoints, err := check(req)
	if err != nil || req.GetPluginFilter().GetPluginName() != p.name {
		return build(nil), err
	}
	return share(ctx, s, req, func(ctx context.Context, req Req) (Resp, error) {
		runs, err := s.ask(ctx, p, req, numPoints)
		return build(runs), err
	})
}

// ask returns the wanted tags of each run that has any. Runs that cannot be read are left
// out.
func (s *Server) ask(ctx context.Context, p *plugin, q question, numPoints int) ([]runTags, error) {
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
	numPoints = fit(known, numPoints)
	out, wantsLogs := make([]runTags, len(runs)), p.hasLogs && wanted.has(logTag)
	var g errgroup.Group
	g.SetLimit(parallelReads)
	early, cancel := target.WithMargin(ctx)
	defer cancel()
	for i, r := range runs {
		out[i].run = r
		tags, ok := known[r]
		isKnown := ok && (len(tags) == 0 || p.answers(numPoints))
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

// known looks up the runs that have ended in the search index. Those that it does not know
// are not in the answer.
func (s *Server) known(ctx context.Context, p *plugin, runs []*run, wanted names) (map[*run][]tag, error) {
	ended := slices.DeleteFunc(slices.Clone(runs), func(r *run) bool { return !r.isEnded() })
	records, err := s.records(ctx, ended)
	if err != nil {
		return nil, err
	}
	known := make(map[*run][]tag, len(ended))
	for i, r := range ended {
		if records[i] != nil {
			known[r] = keepWanted(p.known(r, records[i]), wanted)
		}
	}
	return known, nil
}

// records looks runs up in the search index. Those that cannot be read are nil. All of a run
// is looked up, whatever is asked for: a page asks for all of it, and an archive of many runs
// has it all. The summaries come first, since one request has those of all runs of a path.
func (s *Server) records(ctx context.Context, runs []*run) ([]*search.Record, error) {
	lookup := make([]search.Run, len(runs))
	for i, r := range runs {
		if lookup[i] = r.Run; r.isEnded() {
			s.store.seenEnded(r) // points that the index reads now need not be read again
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

// keepWanted returns the wanted ones of tags.
func keepWanted(tags []tag, wanted names) []tag {
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

// maxAnswer is how many points all runs and tags of an answer have at most: some 150 MB.
const maxAnswer = 8_000_000

// fit halves the number of points of each run and tag until the answer is not too large.
func fit(known map[*run][]tag, numPoints int) int {
	tags := 0
	for _, t := range known {
		tags += len(t)
	}
	for numPoints > 1 && tags*numPoints > maxAnswer {
		numPoints /= 2
	}
	return numPoints
}

// tags returns the wanted tags of a run with their points.
func (s *Server) tags(ctx context.Context, p *plugin, r *run, numPoints int, wanted names) ([]tag, error) {
	key := storeKey{r.Viewer.Name, r.Listed.ID, p.name, numPoints}
	now := time.Now()
	if v, ok := s.store.get(key, r.Version(), now); ok {
		return keepWanted(v.tags, wanted), nil
	}
	since := now.Add(-maxAge)
	if r.isEnded() {
		since = s.store.seenEnded(r)
	} else {
		s.store.forgetEnded(r)
	}
	v := stored{version: r.Version()}
	isPart, src := false, r.source()
	err := s.cache.ReadSince(ctx, src.Key, src, since, func(view *runcache.View) (err error) {
		// A table that cost its Viewer much is served for a while without asking: what was
		// read before the run was seen to have ended may lack its last points.
		if !r.isEnded() || view.ReadTime.Before(since) {
			v.expires = view.ReadTime.Add(maxAge)
		}
		v.tags, isPart, err = p.read(view, r, numPoints, wanted)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(v.tags, func(a, b tag) int { return strings.Compare(a.name, b.name) })
	if !isPart {
		s.store.put(key, v)
	}
	return keepWanted(v.tags, wanted), nil
}

// summary describes the tags of a plugin.
func summary(plugin string, class tensorboardpb.DataClass, content []byte) *tensorboardpb.SummaryMetadata {
	return &tensorboardpb.SummaryMetadata{
		PluginData: &tensorboardpb.PluginData{PluginName: plugin, Content: content}, DataClass: class,
	}
}
