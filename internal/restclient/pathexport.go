package restclient

import (
	"cmp"
	"context"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

// PathRuns are the contents of summary.json and meta.json of the runs at and below a path,
// by run id. It is shared and must not be changed.
type PathRuns struct {
	runs map[string]*pathRun
	path string
	at   time.Time
	cost time.Duration
}

type pathRun struct {
	ID      string                      `json:"run_id"`
	Summary viewerjson.Optional[Values] `json:"summary"`
	Meta    viewerjson.Optional[Values] `json:"meta"`
}

// Summary returns the summary of a run, and whether it equals the file: the Viewer turns
// NaN and infinities into null, and sends nothing for a file that it cannot read.
func (p *PathRuns) Summary(runID string) (Values, bool) {
	if p == nil || p.runs[runID] == nil {
		return nil, false
	}
	summary := p.runs[runID].Summary.Value
	for _, v := range summary {
		if v.Kind == viewerjson.ValueNull || v.Kind == viewerjson.ValueJSON {
			return nil, false
		}
	}
	return summary, len(summary) > 0
}

// Meta returns the metadata in the same way.
func (p *PathRuns) Meta(runID string) (Values, bool) {
	if p == nil || p.runs[runID] == nil {
		return nil, false
	}
	meta := p.runs[runID].Meta.Value
	return meta, len(meta) > 0
}

// PathRuns reads summaries and metadata of all runs at and below a path. On 0.6 that costs
// the Viewer as much as reading three files of one run, because each request scans all runs
// for the run's folder. At most one read is in flight; the result is cached for as long as
// a list.
//
//viewer:operation GET /api/paths/export 0.6 0.7
func (c *Client) PathRuns(ctx context.Context, path string) (*PathRuns, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if known := c.exported.get(path); known != nil {
		return known, nil
	}
	q := call{cap: CapPathRuns, query: url.Values{"path": {path}, "format": {"json"}}}
	return shareGET(ctx, c, q, func(ctx context.Context) (*PathRuns, error) {
		if _, err := c.require(ctx, CapPathRuns); err != nil {
			return nil, err // before the cost is measured
		}
		start := time.Now()
		answer, err := doJSON[struct {
			TextQuality
			Runs viewerjson.OptionalList[pathRun] `json:"runs"`
		}](ctx, c, q)
		if err != nil {
			return nil, err
		}
		out := &PathRuns{runs: make(map[string]*pathRun, len(answer.Runs)), path: path, at: start, cost: time.Since(start)}
		if !answer.Lossy { // the files tell which run has the lossy text
			for i := range answer.Runs {
				out.runs[answer.Runs[i].ID] = &answer.Runs[i]
			}
		}
		c.exported.last.Store(out)
		return out, nil
	})
}

// exportCache holds the last response about a path, and the files of runs that were read in
// archives.
type exportCache struct {
	last  atomic.Pointer[PathRuns]
	files boundedMap[*RunFiles]
}

// get returns the cached answer for a path, or nil.
func (k *exportCache) get(path string) *PathRuns {
	last := k.last.Load()
	if last == nil || last.path != path || !isCurrent(last.at, last.cost) {
		return nil
	}
	return last
}

// isCurrent reports whether a response that was requested at a time, and took cost, is as
// current as a cached list may be.
func isCurrent(at time.Time, cost time.Duration) bool {
	return time.Since(at) <= cost+max(runListTTL, runListTTLCostFactor*cost)
}

func (k *exportCache) clear() {
	k.last.Store(nil)
	k.files.clear()
}

// RunFiles holds the small files of a run in an archive; nil means that a file is not in it.
// They are shared and must not be changed.
type RunFiles struct {
	Status        *Document[StatusDocument]
	Summary, Meta *Document[Values]

	at   time.Time
	cost time.Duration
}

// maxRunFiles is the maximum number of runs whose files are cached.
const maxRunFiles = 256

// KnowFiles caches the files of a run from an archive that was requested at a time, and whose
// packing took cost.
func (c *Client) KnowFiles(runID string, files *RunFiles, at time.Time, cost time.Duration) {
	files.at, files.cost = at, cost
	files.Status = cmp.Or(files.Status, &Document[StatusDocument]{State: FileAbsent})
	files.Summary = cmp.Or(files.Summary, &Document[Values]{State: FileAbsent})
	files.Meta = cmp.Or(files.Meta, &Document[Values]{State: FileAbsent})
	c.exported.files.put(runID, files)
}

// KnownFiles returns the cached files of a run, or nil if there are none that are current.
func (c *Client) KnownFiles(runID string) *RunFiles {
	if files, ok := c.exported.files.get(runID); ok && isCurrent(files.at, files.cost) {
		return files
	}
	return nil
}
