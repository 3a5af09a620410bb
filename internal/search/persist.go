package search

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/search/statefile"
)

// flushInterval is how long new records are collected before they are written together.
const flushInterval = 2 * time.Second

// stored is a record to be written to the state file. A record that is read back is used only
// if its checksum is right and its identity matches the list, and its first refresh compares
// the log with the checksums in the record.
type stored struct {
	viewer, runID string
	record        *Record
}

// open opens the state file when it is first needed, so that a server without calls writes
// nothing. Called with mu held.
func (x *Index) open() {
	if x.opened = true; x.cfg.StateFile == "" {
		return
	}
	s, err := statefile.Open(statefile.Config{
		Path: x.cfg.StateFile, MaxBytes: cmp.Or(x.cfg.StateBytes, defaultBytes), Version: codecVersion, ReadTime: readTimeOf, Log: x.cfg.Log,
	})
	if err != nil {
		x.cfg.Log.Warn("search state in memory only", slog.String("file", x.cfg.StateFile), slog.Any("error", err))
		return
	}
	x.store = s
}

// load loads the records of a new Viewer from the state file. Called with mu held.
func (x *Index) load(v *viewer) {
	if !x.opened {
		x.open()
	}
	if x.store == nil || !v.isPersistent() {
		return
	}
	err := x.store.Load(v.fleet.Client.BaseURL(), func(runID string, value []byte) {
		if r, err := decodeRecord(value, x.names.share); err == nil { // a damaged one is not used
			v.set(v.entry(runID), r)
		}
	})
	if err != nil {
		x.disableStore(err)
	}
}

// isPersistent reports whether the Viewer's records are stored in the file. Those of a Viewer
// behind a tunnel are not, because its address is different each time.
func (v *viewer) isPersistent() bool { return v.fleet.Parent == nil }

// disableStore stops using the state file. Called with mu held.
func (x *Index) disableStore(err error) {
	x.store = nil
	clear(x.dirty)
	x.cfg.Log.Warn("search state in memory only from now on", slog.String("file", x.cfg.StateFile), slog.Any("error", err))
}

// markDirty schedules an entry to be written. Called with mu held.
func (x *Index) markDirty(v *viewer, runID string, e *entry) {
	if x.store == nil || x.closed || !v.isPersistent() {
		return
	}
	x.dirty[e] = stored{viewer: v.fleet.Client.BaseURL(), runID: runID, record: e.record}
	if !x.flushing {
		x.flushing = true
		x.work.Go(x.flushLater)
	}
}

// flushLater writes dirty records after flushInterval, and ends when there are none.
func (x *Index) flushLater() {
	timer := time.NewTimer(flushInterval)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-x.ctx.Done():
			return // Close writes the rest
		}
		if !x.flush() {
			return
		}
		timer.Reset(flushInterval)
	}
}

// flush writes dirty records. It returns false if there were none, or if writing failed.
func (x *Index) flush() bool {
	x.mu.Lock()
	records := slices.Collect(maps.Values(x.dirty))
	clear(x.dirty)
	s := x.store
	if x.flushing = s != nil && len(records) > 0; !x.flushing {
		x.mu.Unlock()
		return false
	}
	x.mu.Unlock()
	slices.SortFunc(records, func(a, b stored) int { return cmp.Or(cmp.Compare(a.viewer, b.viewer), cmp.Compare(a.runID, b.runID)) })
	changes := make([]statefile.Change, len(records))
	for i, r := range records {
		changes[i] = statefile.Change{Viewer: r.viewer, RunID: r.runID, Value: r.record.encode()}
	}
	if err := s.Save(changes, x.now()); err != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.disableStore(err)
		x.flushing = false
		return false
	}
	return true
}

// readTimeOf returns when the oldest part of an encoded record was read.
func readTimeOf(value []byte) time.Time {
	r, err := decodeRecord(value, func(s string) string { return s })
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, r.oldest(r.known))
}

// evict drops records until the bound is met, beginning with those whose last Lookup was the
// longest time ago. Called with mu held.
func (x *Index) evict() {
	if x.bytes <= x.cfg.MaxBytes {
		return
	}
	type item struct {
		v  *viewer
		id string
		e  *entry
	}
	var items []item
	for _, v := range x.viewers {
		for id, e := range v.entries {
			if e.record != nil && e.job == nil && !e.reading {
				items = append(items, item{v, id, e})
			}
		}
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.e.usedAt, b.e.usedAt) })
	for _, i := range items {
		if x.bytes <= x.cfg.MaxBytes*3/4 {
			return
		}
		n := i.e.record.bytes()
		i.v.bytes -= n
		x.bytes -= n
		delete(i.v.entries, i.id)
	}
}
