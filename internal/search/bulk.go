package search

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// archiveRetryDelay is how long no archive is requested after one has failed.
const archiveRetryDelay = time.Minute

// group is a set of runs that are read together.
type group struct {
	path string // all of them are at or below it
	runs int    // number of all runs at or below it, wanted or not
	jobs []*job
}

// dequeueGroup dequeues the jobs that are to be read together with a dequeued job: those of the
// largest path above its run for which an archive is worth its cost. It returns nil if the
// run is better read alone. Called with mu held.
func (v *viewer) dequeueGroup(first *job, counts map[string]int, packs bool) *group {
	if counts == nil || first.single || v.index.now().Before(v.archiveRetryTime) || !packs && first.parts != PartSummary {
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
		if j.isGroupable(first) {
			count(j)
		}
	}
	for path := range prefixes(first.run.Listed.Path.Value) {
		switch {
		case counts[path] == 0: // the list is of another time
		case first.parts == PartSummary && wanted[path] >= minListed,
			first.parts != PartSummary && folderOf(first.run.Listed, path) != "" && v.costs.prefersArchive(wanted[path], counts[path]):
			return v.dequeueBelow(first, path, counts[path])
		}
	}
	return nil
}

// minListed is the minimum number of runs whose summaries are read together. That request
// costs the Viewer as much as three files of one run, regardless of the number of runs.
const minListed = 4

// isGroupable reports whether a queued job can be read together with first now.
func (j *job) isGroupable(first *job) bool {
	return j.callers > 0 && !j.single && !j.entry.reading && (j.parts == PartSummary) == (first.parts == PartSummary)
}

// dequeueBelow dequeues the jobs of all wanted runs at or below a path. Called with mu held.
func (v *viewer) dequeueBelow(first *job, path string, runs int) *group {
	g := &group{path: path, runs: runs, jobs: []*job{first}}
	v.queue = slices.DeleteFunc(v.queue, func(j *job) bool {
		at := j.run.Listed.Path.Value
		if !j.isGroupable(first) || at != path && !strings.HasPrefix(at, path+"/") {
			return false
		}
		j.dequeued, j.entry.reading = true, true
		g.jobs = append(g.jobs, j)
		return true
	})
	for _, j := range g.jobs {
		j.addArchived()
	}
	return g
}

// addArchived adds the parts that the archive contains anyway and that are small, or that the
// record has and would lose. Called with mu held.
func (j *job) addArchived() {
	if j.parts == PartSummary {
		return
	}
	if j.parts |= PartTimes; j.entry.record != nil {
		j.parts |= j.entry.record.known
	}
}

// readGroup reads runs together. Runs for which that fails are queued again, to be read one
// by one.
func (v *viewer) readGroup(ctx context.Context, g *group) {
	read := make([]*archivedRun, len(g.jobs))
	for i, j := range g.jobs {
		read[i] = &archivedRun{job: j, runReader: v.reader(j)}
	}
	var err error
	if g.jobs[0].parts == PartSummary {
		err = v.readSummaries(ctx, g, read)
	} else {
		err = v.readArchive(ctx, g, read)
	}
	x := v.index
	if err != nil && ctx.Err() == nil {
		x.mu.Lock()
		v.archiveRetryTime = x.now().Add(archiveRetryDelay)
		x.mu.Unlock()
	}
	for _, r := range read {
		if err == nil && r.isComplete() {
			r.setEnded()
			v.publish(r.job, &r.record, nil)
			continue
		}
		x.mu.Lock()
		r.job.single = true
		v.requeue(r.job)
		x.mu.Unlock()
	}
}

// endPacking permits other reads again, after the Viewer has responded.
func (v *viewer) endPacking() {
	v.index.mu.Lock()
	defer v.index.mu.Unlock()
	v.packing = false
	v.startWorkers()
}

// readSummaries reads the summaries of all runs of a path with one request.
func (v *viewer) readSummaries(ctx context.Context, g *group, read []*archivedRun) error {
	at := v.index.now()
	known, err := v.fleet.Client.PathRuns(ctx, g.path)
	v.endPacking()
	if err != nil {
		return err
	}
	for _, r := range read {
		values, ok := known.Summary(r.job.run.Listed.ID)
		if r.copyIfSame(); !ok {
			continue
		}
		r.seen, r.err = true, r.setDocument(&r.record.summary, values, "summary")
		r.record.setRead(PartSummary, at)
	}
	return nil
}

// archivedRun is a run that is read from an archive, or from the response about a path.
type archivedRun struct {
	*runReader
	job   *job
	seen  bool  // the archive has a file of it
	err   error // why it must be read alone
	files restclient.RunFiles
	small int64 // size of the small files so far, in bytes
}

// maxSmallFiles bounds the small files of a run that the client caches for a page of full
// experiments, in bytes.
const maxSmallFiles = 16 << 10

// isComplete reports whether all wanted parts were read. A file that is not in the archive
// does not exist.
func (r *archivedRun) isComplete() bool { return r.seen && r.err == nil }

// readArchive reads the files of runs from the archive of their folder.
func (v *viewer) readArchive(ctx context.Context, g *group, runs []*archivedRun) (err error) {
	at := v.index.now()
	first := g.jobs[0].run.Listed
	folder := folderOf(first, g.path)
	requested := time.Now() // the clock of the client, not that of the index, which tests replace
	a, err := v.fleet.Client.FolderArchive(ctx, first.ID, folder)
	v.endPacking()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	read := map[string]*archivedRun{}
	for _, r := range runs {
		r.reset()
		r.record.Origin = runsource.FromEventLog
		r.record.setRead(r.job.parts, at)
		read[relativePath(folder, r.job.run.Listed)] = r
	}
	delete(read, "") // runs in other folders
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
		if r := read[f.Folder]; r != nil && r.err == nil {
			r.seen = true
			if r.err = r.readFile(ctx, f); ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	for _, r := range runs {
		if r.isComplete() && r.small < maxSmallFiles {
			v.fleet.Client.KnowFiles(r.job.run.Listed.ID, &r.files, requested, a.Packing)
		}
	}
	v.index.mu.Lock()
	defer v.index.mu.Unlock()
	v.costs.addArchive(a.Packing, max(g.runs, len(runs)), bytes)
	return nil
}

// readFile reads one file of the archive, if it is needed.
func (r *archivedRun) readFile(ctx context.Context, f *restclient.ArchivedFile) error {
	switch f.File {
	case restclient.FileEvents:
		if r.job.parts&PartMetrics != 0 {
			return r.readEvents(ctx, f)
		}
	case restclient.FileAssets:
		if r.job.parts&PartConfig != 0 {
			values, err := f.Config()
			if err != nil {
				return err
			}
			return r.setDocument(&r.record.config, configOf(values), "configuration")
		}
	case restclient.FileStatus, restclient.FileSummary, restclient.FileMeta:
		return r.readSmallFile(f)
	}
	return nil
}

// readSmallFile reads a file that is wanted, or small enough to be cached.
func (r *archivedRun) readSmallFile(f *restclient.ArchivedFile) (err error) {
	wanted := f.File == restclient.FileStatus && r.job.parts&PartTimes != 0 || f.File == restclient.FileSummary && r.job.parts&PartSummary != 0
	if r.small += f.Size; r.small >= maxSmallFiles && !wanted {
		return nil
	}
	switch f.File {
	case restclient.FileStatus:
		if r.files.Status, err = f.Status(); err == nil && wanted && r.files.Status.State == restclient.FileWhole {
			r.setTimes(r.files.Status)
		}
	case restclient.FileSummary:
		if r.files.Summary, err = f.Values(); err == nil && wanted {
			err = r.setDocument(&r.record.summary, r.files.Summary.Value, "summary")
		}
	case restclient.FileMeta:
		r.files.Meta, err = f.Values()
	}
	if err != nil && !wanted {
		r.small += maxSmallFiles // not cached: a call that needs the file reads it and reports the error
		return nil
	}
	return err
}

// readEvents aggregates a whole event file.
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
	r.record.checkpoint, r.record.headChecked = hashCheckpoint(next, hashedCheckpoint{}), r.now().UnixNano()
	return nil
}
