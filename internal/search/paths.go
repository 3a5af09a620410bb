package search

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// countsAge is how old a list may be that runs are counted by. To make a list of thousands of
// runs, the Viewer stands still as long as for an archive, so it is not asked for one more
// often than single reads need one that says where runs lie.
const countsAge = 45 * time.Second

// pathCounts returns how many runs are at or below each path of the Viewer; nil if it has no
// paths. Packs says whether it packs the runs of a folder.
func (v *viewer) pathCounts(ctx context.Context) (counts map[string]int, packs bool) {
	caps, err := v.fleet.Client.Capabilities(ctx)
	if err != nil || !caps.Has(restclient.CapPathRuns) {
		return nil, false
	}
	packs = caps.Generation == restclient.Generation06
	v.countsMu.Lock()
	defer v.countsMu.Unlock()
	if v.counted != nil && v.counted.Age() < countsAge {
		return v.counts, packs
	}
	list, err := v.fleet.Client.Runs(ctx)
	if err != nil {
		return nil, false
	}
	if v.counted != list {
		v.counted, v.counts = list, make(map[string]int)
		for i := range list.Runs {
			for path := range prefixes(list.Runs[i].Path.Value) {
				v.counts[path]++
			}
		}
	}
	return v.counts, packs
}

// prefixes are the paths at or above a path, the shortest first; none for no path.
func prefixes(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range len(path) {
			if path[i] == '/' && i > 0 && !yield(path[:i]) {
				return
			}
		}
		if path != "" {
			yield(path)
		}
	}
}

// folderOf is the folder of all runs at or below a path, by the place of one of them; empty
// if they do not lie in one.
func folderOf(run *restclient.Run, path string) string {
	below := strings.TrimPrefix(run.Path.Value, path) + "/" + run.ID
	if !strings.Contains(run.Dir, "/") { // a Viewer on Windows
		below = strings.ReplaceAll(below, "/", `\`)
	}
	folder, ok := strings.CutSuffix(run.Dir, below)
	if !ok {
		return ""
	}
	return folder
}

// placeIn is where a run lies below a folder, with forward slashes; empty if it does not.
func placeIn(folder string, run *restclient.Run) string {
	place, ok := strings.CutPrefix(run.Dir, folder)
	if !ok || place == "" {
		return ""
	}
	return strings.ReplaceAll(place[1:], `\`, "/")
}
