package search

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// countsTTL is the maximum age of the list from which the runs per path are counted. With
// thousands of runs, a Viewer is blocked by making a list as long as by an archive, so lists
// are not requested as often as runs are read.
const countsTTL = 45 * time.Second

// pathCounts returns the number of runs at or below each path of the Viewer; nil if it has no
// paths or no list is available. packs reports whether the Viewer can pack a folder of runs.
func (v *viewer) pathCounts(ctx context.Context) (counts map[string]int, packs bool) {
	caps, err := v.fleet.Client.Capabilities(ctx)
	if err != nil || !caps.Has(restclient.CapPathRuns) {
		return nil, false
	}
	packs = caps.Generation == restclient.Generation06
	v.countsMu.Lock()
	defer v.countsMu.Unlock()
	if v.counted != nil && v.counted.Age() < countsTTL {
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

// prefixes yields the path and its parents, the shortest first; nothing for an empty path.
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

// folderOf is the folder of all runs at or below a path, derived from the folder of one of
// them; empty if there is no such folder.
func folderOf(run *restclient.Run, path string) string {
	below := strings.TrimPrefix(run.Path.Value, path) + "/" + run.ID
	if !strings.Contains(run.Dir, "/") { // the Viewer runs on Windows
		below = strings.ReplaceAll(below, "/", `\`)
	}
	folder, ok := strings.CutSuffix(run.Dir, below)
	if !ok {
		return ""
	}
	return folder
}

// relativePath is the path of a run relative to a folder, with forward slashes; empty if the
// run is not in it.
func relativePath(folder string, run *restclient.Run) string {
	below, ok := strings.CutPrefix(run.Dir, folder)
	if !ok || below == "" {
		return ""
	}
	return strings.ReplaceAll(below[1:], `\`, "/")
}
