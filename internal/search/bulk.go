package search

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// noArchiveTime is how long archives are not tried after one has failed.
const noArchiveTime = time.Minute

// pathCounts returns how many runs are at or below each path of the Viewer; nil if it packs
// no archives.
func (v *viewer) pathCounts(ctx context.Context) map[string]int {
	caps, err := v.fleet.Client.Capabilities(ctx)
	if err != nil || !caps.Has(restclient.CapPathArchive) {
		return nil
	}
	list, err := v.fleet.Client.Runs(ctx)
	if err != nil {
		return nil
	}
	v.countsMu.Lock()
	defer v.countsMu.Unlock()
	if v.counted != list {
		v.counted, v.counts = list, make(map[string]int)
		for i := range list.Runs {
			for path := range prefixes(list.Runs[i].Path.Value) {
				v.counts[path]++
			}
		}
	}
	return v.counts
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

// group is runs that are read in one archive.
type group struct {
	path string // all of them are at or below it
	runs int    // as many runs are there in all
	jobs []*job
}

// takeGroup takes the wanted runs that are to be read in one archive with a job that was
// taken: of the largest path above it that is not too large. It returns nil if the run is
// read better by itself. Called with mu held.
func (v *viewer) takeGroup(first *job, counts map[string]int) *group {
	if counts == nil || first.single || v.index.cfg.Now().Before(v.noArchive) {
		return nil
	}
	wanted := map[string]int{}
	count := func(j *job) {
		for path := range prefixes(j.run.Listed.Path.Value) {
			wanted[path]++
		}
	}
	count(first)
	for _, j := range v.queue {
		if j.isGroupable() {
			count(j)
		}
	}
	for path := range prefixes(first.run.Listed.Path.Value) {
		if v.costs.prefersArchive(wanted[path], counts[path]) {
			return v.takeBelow(first, path, counts[path])
		}
	}
	return nil
}

// isGroupable says whether a job in the queue may be read in an archive now.
func (j *job) isGroupable() bool { return j.callers > 0 && !j.single && !j.entry.reading }

// takeBelow takes the jobs of all wanted runs at or below a path. Called with mu held.
func (v *viewer) takeBelow(first *job, path string, runs int) *group {
	g := &group{path: path, runs: runs, jobs: []*job{first}}
	v.queue = slices.DeleteFunc(v.queue, func(j *job) bool {
		at := j.run.Listed.Path.Value
		if !j.isGroupable() || at != path && !strings.HasPrefix(at, path+"/") {
			return false
		}
		j.taken, j.entry.reading = true, true
		g.jobs = append(g.jobs, j)
		return true
	})
	return g
}

// readGroup reads runs from the archive of a path. What the archive does not have, or
// cannot tell, is read one by one afterwards.
func (v *viewer) readGroup(ctx context.Context, g *group) {
	read := map[string]*archivedRun{}
	for _, j := range g.jobs {
		read[j.run.Listed.ID] = &archivedRun{job: j, runReader: v.reader(j)}
	}
	err := v.readArchive(ctx, g, read)
	x := v.index
	if err != nil && ctx.Err() == nil {
		x.mu.Lock()
		v.noArchive = x.cfg.Now().Add(noArchiveTime)
		x.mu.Unlock()
	}
	for _, r := range read {
		if err == nil && r.isComplete() {
			r.setEnded()
			v.publish(r.job, &r.record, nil)
			continue
		}
		x.mu.Lock()
		r.job.taken, r.job.single, r.job.entry.reading = false, true, false
		v.queue, v.sorted = append(v.queue, r.job), false
		x.mu.Unlock()
	}
}

// archivedRun is a run that is read from an archive.
type archivedRun struct {
	*runReader
	job  *job
	seen bool  // it has a file in the archive
	err  error // why it is to be read by itself
}

// isComplete says whether all that is wanted is known. Files that are not in the archive are
// not there.
func (r *archivedRun) isComplete() bool { return r.seen && r.err == nil }

// readArchive reads the files of runs from the archive of their path.
func (v *viewer) readArchive(ctx context.Context, g *group, read map[string]*archivedRun) (err error) {
	at := v.index.cfg.Now()
	a, err := v.fleet.Client.PathArchive(ctx, g.path)
	x := v.index
	x.mu.Lock()
	v.packing = false
	v.startWorkers()
	x.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	for _, r := range read {
		r.forget()
		r.record.Origin = runsource.FromEventLog
		r.record.setRead(r.job.parts, at)
	}
	var bytes int64
	for {
		f, err := a.Next()
		if err == io.EOF { //nolint:errorlint // Next returns it itself
			break
		}
		if err != nil {
			return err
		}
		bytes += f.Size
		if r := read[f.RunID]; r != nil && r.err == nil {
			r.seen = true
			if r.err = r.readFile(ctx, f); ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	v.costs.addArchive(a.Packing, max(g.runs, len(read)), bytes)
	return nil
}

// readFile takes what is wanted of one file.
func (r *archivedRun) readFile(ctx context.Context, f *restclient.ArchivedFile) error {
	parts := r.job.parts
	switch {
	case f.File == restclient.FileEvents && parts&PartMetrics != 0:
		return r.readEvents(ctx, f)
	case f.File == restclient.FileStatus && parts&PartTimes != 0:
		status, err := f.Status()
		if err == nil && status != nil {
			r.setTimes(status)
		}
		return err
	case f.File == restclient.FileSummary && parts&PartSummary != 0:
		values, err := f.Values()
		if err != nil || values == nil {
			return err
		}
		return r.setDocument(&r.record.summary, *values, "summary")
	case f.File == restclient.FileAssets && parts&PartConfig != 0:
		values, err := f.Config()
		if err != nil {
			return err
		}
		return r.setDocument(&r.record.config, configOf(values), "configuration")
	}
	return nil
}

// readEvents sums up a whole event file.
func (r *archivedRun) readEvents(ctx context.Context, f *restclient.ArchivedFile) error {
	next, d := &runsource.Checkpoint{}, newDigest(nil, nil, r.names)
	rest, err := r.parse(ctx, f, f.Size, next, d)
	if err != nil {
		return err
	}
	if err := r.finish(ctx, next, rest, d); err != nil {
		return err
	}
	next.Size = f.Size
	r.record.mark, r.record.headChecked = markOf(next, mark{}), r.now().UnixNano()
	return nil
}
