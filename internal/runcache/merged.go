package runcache

import (
	"context"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// How long a merged table is served without asking.
//
// A Viewer without event files computes the whole table for whoever asks, at some
// 5 s of its one thread per million rows. So a table is valid for tableTTL or
// ttlCostFactor times what it cost. Then a large one is probed, which costs a third:
// new steps and new columns show there. Values that were written to old steps do
// not, so a run that is not known to have ended is read again whole, at the
// latest, after maxStale or staleCostFactor times the cost. An answer says when its
// table was read.
const (
	tableTTL        = time.Second
	ttlCostFactor   = 5
	maxStale        = 10 * time.Second
	staleCostFactor = 20
)

// mergedState is what is known of a table that was read.
type mergedState struct {
	info restclient.TableInfo
	// readStart is when its read began, and cost how long it took.
	readStart time.Time
	cost      time.Duration
	// final says that the run had ended before.
	final bool
	// excess is what was too large in it.
	excess eventlog.Excess
}

// readMerged brings the run up to date from its merged table.
func (u *updater) readMerged(ctx context.Context) error {
	unchanged, err := u.isTableUnchanged(ctx)
	if err != nil {
		return err
	}
	if unchanged {
		u.run.freshUntil = u.now().Add(u.run.merged.ttl())
		return nil
	}
	ended, err := u.src.HasEnded(ctx)
	if err != nil {
		return err
	}
	r, start := newRun(runsource.FromMergedTable), u.now()
	info, err := u.src.ReadTable(ctx, r.put, r.view.Table.AddIndeterminate)
	if err != nil {
		return err // half a table cannot be gone on with; the old one stays
	}
	r.merged = mergedState{info: info, readStart: start, cost: u.now().Sub(start), final: ended, excess: r.merged.excess}
	r.freshUntil = u.now().Add(r.merged.ttl())
	r.publish(start, u.maxFinal)
	u.run = r
	return nil
}

// isTableUnchanged says whether the table that is there may be kept.
func (u *updater) isTableUnchanged(ctx context.Context) (bool, error) {
	if u.run == nil || u.run.view.Origin != runsource.FromMergedTable {
		return false, nil
	}
	m := &u.run.merged
	stale := !m.final && u.now().Sub(m.readStart) > max(maxStale, staleCostFactor*m.cost)
	if stale || m.info.Total <= runsource.SmallTable {
		return false, nil
	}
	info, err := u.src.ProbeTable(ctx)
	if err != nil {
		return false, err
	}
	return runsource.IsSameTable(&info, &m.info), nil
}

// ttl is how long the table is valid without asking.
func (m *mergedState) ttl() time.Duration { return max(tableTTL, ttlCostFactor*m.cost) }
