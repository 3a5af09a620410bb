package tensorboard

import (
	"google.golang.org/protobuf/proto"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// names is a set of names; nil contains all names.
type names map[string]bool

// namesOf converts a filter: an absent one selects all names, an empty one none.
func namesOf(f *tensorboardpb.NameFilter) names {
	if f == nil {
		return nil
	}
	set := make(names, len(f.GetNames()))
	for _, name := range f.GetNames() {
		set[name] = true
	}
	return set
}

func (n names) has(name string) bool { return n == nil || n[name] }

// selectRuns returns the runs that a filter selects. Unknown names are ignored.
func (l *listing) selectRuns(f *tensorboardpb.RunTagFilter) []*run {
	if f.GetRuns() == nil {
		return l.runs
	}
	var selected []*run
	seen := map[string]bool{}
	for _, name := range f.GetRuns().GetNames() {
		if r := l.byName[name]; r != nil && !seen[name] {
			selected = append(selected, r)
			seen[name] = true
		}
	}
	return selected
}

// request is what all List and Read requests have in common.
type request interface {
	proto.Message
	GetExperimentId() string
	GetPluginFilter() *tensorboardpb.PluginFilter
	GetRunTagFilter() *tensorboardpb.RunTagFilter
}

// check validates a request as TensorBoard's own provider does. numPoints is the requested
// number of points of each run and tag; 0 for a List request.
func check(q request) (numPoints int, err error) {
	if q.GetPluginFilter().GetPluginName() == "" {
		return 0, apierr.Invalid("plugin_filter.plugin_name", "must name a plugin, such as %s", pluginScalars)
	}
	read, ok := q.(interface {
		GetDownsample() *tensorboardpb.Downsample
	})
	switch {
	case !ok:
		return 0, nil
	case read.GetDownsample() == nil:
		return 0, apierr.Invalid("downsample", "must be set")
	case read.GetDownsample().GetNumPoints() < 0:
		return 0, apierr.Invalid("downsample.num_points", "must not be negative")
	}
	return int(min(read.GetDownsample().GetNumPoints(), maxPoints)), nil
}

// maxPoints bounds the points of one run and tag.
const maxPoints = 100_000
