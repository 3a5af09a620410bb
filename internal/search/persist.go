package search

import (
	"cmp"
	"log/slog"
	"slices"
	"time"
)

// open opens the file when it is needed first: a server that nobody asks writes nothing.
// Called with mu held.
func (x *Index) open() {
	if x.opened = true; x.cfg.StateFile == "" {
		return
	}
	s, err := openStore(x.cfg.StateFile, cmp.Or(x.cfg.StateBytes, defaultBytes), x.cfg.Log)
	if err != nil {
		x.cfg.Log.Warn("the search state is kept in memory only", slog.String("file", x.cfg.StateFile), slog.Any("error", err))
		return
	}
	x.store = s
}

// load takes in what the file knows of a new Viewer's runs. Called with mu held.
func (x *Index) load(v *viewer) {
	if !x.opened {
		x.open()
	}
	if x.store == nil || !v.isKept() {
		return
	}
	err := x.store.load(v.fleet.Client.BaseURL(), x.names.share, func(runID string, r *Record) {
		v.set(v.entry(runID), r)
	})
	if err != nil {
		x.abandon(err)
	}
}

// isKept says whether the Viewer's records go to the file. A tunnel has another address
// each time.
func (v *viewer) isKept() bool { return v.fleet.Parent == nil }

// abandon gives the file up. Called with mu held.
func (x *Index) abandon(err error) {
	x.store = nil
	clear(x.dirty)
	x.cfg.Log.Warn("the search state is kept in memory only from now on", slog.String("file", x.cfg.StateFile), slog.Any("error", err))
}

// markDirty notes that an entry is to be written. Called with mu held.
func (x *Index) markDirty(v *viewer, runID string, e *entry) {
	if x.store == nil || x.closed || !v.isKept() {
		return
	}
	x.dirty[e] = stored{viewer: v.fleet.Client.BaseURL(), runID: runID, record: e.record}
	if !x.flusher {
		x.flusher = true
		x.work.Go(x.flushLater)
	}
}

// flushLater writes what is dirty after a while, until nothing is.
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

// flush writes what is dirty. It returns false if nothing was.
func (x *Index) flush() bool {
	x.mu.Lock()
	records := make([]stored, 0, len(x.dirty))
	for _, r := range x.dirty {
		records = append(records, r)
	}
	clear(x.dirty)
	s := x.store
	if x.flusher = s != nil && len(records) > 0; !x.flusher {
		x.mu.Unlock()
		return false
	}
	x.mu.Unlock()
	slices.SortFunc(records, func(a, b stored) int { return cmp.Or(compareText(a.viewer, b.viewer), compareText(a.runID, b.runID)) })
	if err := s.save(records, x.now()); err != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.abandon(err)
		x.flusher = false
		return false
	}
	return true
}

// evict drops records until the bound is kept, those first that no Lookup has asked for for
// the longest time. Called with mu held.
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
