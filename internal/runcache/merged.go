package runcache

import (
	"context"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// How long a merged table is cached.
//
// A Viewer without event files computes the whole table for each read, which takes about 5
// s of its only thread per million rows. So a table is valid for tableTTL or ttlCostFactor
// times its cost. Then a large table is probed, for a third of the cost, which shows new
// steps and columns, but not values written to old steps. So the table of a run that is not
// known to have ended is read again after at most maxStale or staleCostFactor times the
// cost. Answers include the time at which their table was read.
const (
	tableTTL        = time.Second
	ttlCostFactor   = 5
	maxStale        = 10 * time.Second
	staleCostFactor = 20
)

// mergedState is the state of a table that was read.
type mergedState struct {
	info restclient.TableInfo
	// readStart is the start of its read, and cost the duration.
	readStart time.Time
	cost      time.Duration
	// final reports that the run had ended before.
	final bool
	// excess counts what was too large.
	excess eventlog.Excess
}

// readMerged updates the run from its merged table.
func (u *updater) readMerged(ctx context.Context) error {
	unchanged, err := u.isTableUnchanged(ctx)
	if err != nil {
		return err
	}
	if unchanged {
		u.run.freshUntil = u.now().Add(u.run.merged.ttl())
		return nil
	}
	status, _, err := u.src.Status(ctx)
	if err != nil {
		return err
	}
	r, start := newRun(runsource.FromMergedTable), u.now()
	info, err := u.src.ReadTable(ctx, r.put, r.view.Table.AddIndeterminate)
	if err != nil {
		return err // a partial table cannot be continued; the old one stays
	}
	r.merged = mergedState{info: info, readStart: start, cost: u.now().Sub(start), final: status.Terminal, excess: r.merged.excess}
	r.freshUntil = u.now().Add(r.merged.ttl())
	r.publish(start, u.maxFinal)
	u.run = r
	return nil
}

// isTableUnchanged reports whether the cached table may be kept.
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

// ttl returns how long the table is valid without a request.
func (m *mergedState) ttl() time.Duration { return max(tableTTL, ttlCostFactor*m.cost) }
