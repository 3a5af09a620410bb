package search

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// noArchiveTime is how long archives are not tried after one has failed.
const noArchiveTime = time.Minute

// pathCounts returns how many runs each path of the Viewer has; nil if it packs no archives.
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
			v.counts[list.Runs[i].Path.Value]++
		}
	}
	return v.counts
}

// takeGroup takes the wanted runs that are to be read in one archive with a job that was
// taken; nil if it is read better by itself. Called with mu held.
func (v *viewer) takeGroup(first *job, counts map[string]int) []*job {
	path := first.run.Listed.Path.Value
	if counts == nil || path == "" || first.single || v.index.cfg.Now().Before(v.noArchive) {
		return nil
	}
	isMember := func(j *job) bool {
		return j.callers > 0 && !j.single && !j.entry.reading && j.run.Listed.Path.Value == path
	}
	wanted := 1
	for _, j := range v.queue {
		if isMember(j) {
			wanted++
		}
	}
	if !v.costs.prefersArchive(wanted, counts[path]) {
		return nil
	}
	group := []*job{first}
	v.queue = slices.DeleteFunc(v.queue, func(j *job) bool {
		if !isMember(j) {
			return false
		}
		j.taken, j.entry.reading = true, true
		group = append(group, j)
		return true
	})
	return group
}

// readGroup reads runs of one path from its archive. What the archive does not have, or
// cannot tell, is read one by one afterwards.
func (v *viewer) readGroup(ctx context.Context, group []*job, runs int) {
	read := map[string]*archivedRun{}
	for _, j := range group {
		read[j.run.Listed.ID] = &archivedRun{job: j, runReader: v.reader(j)}
	}
	err := v.readArchive(ctx, group[0].run.Listed.Path.Value, runs, read)
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
func (v *viewer) readArchive(ctx context.Context, path string, runs int, read map[string]*archivedRun) (err error) {
	at := v.index.cfg.Now()
	a, err := v.fleet.Client.PathArchive(ctx, path)
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
	v.costs.addArchive(a.Packing, max(runs, len(read)), bytes)
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
	next, d := &runsource.Checkpoint{}, newDigest(nil, r.names)
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
