package runlog

import (
	"context"
	"slices"
	"time"
)

// How long a merged table is believed.
//
// A Viewer without event files computes the whole table for whoever asks, at some
// 5 s of its one thread per million rows. So a table is believed for tableAge or
// tableCosts times what it cost. Then a large one is probed, which costs a third:
// new steps and new columns show there. Values that were written to old steps do
// not, so a run that is not known to have ended is read again whole, at the
// latest, after staleAge or staleCosts times the cost. An answer says when its
// table was read.
const (
	tableAge   = time.Second
	tableCosts = 5
	staleAge   = 10 * time.Second
	staleCosts = 20
	// smallTable is the number of steps up to which reading a table costs the
	// Viewer hardly more than probing it.
	smallTable = 2000
)

// mergedState is what is known of a table that was read.
type mergedState struct {
	info TableInfo
	// asked is when its read began, and cost how long it took.
	asked time.Time
	cost  time.Duration
	// isFinal says that the run had ended before.
	isFinal bool
}

// readMerged brings the run up to date from its merged table.
func (u *updater) readMerged(ctx context.Context) error {
	isSame, err := u.isTableSame(ctx)
	if err != nil {
		return err
	}
	if isSame {
		u.run.freshUntil = u.now().Add(u.run.merged.believed())
		return nil
	}
	hasEnded, err := u.src.HasEnded(ctx)
	if err != nil {
		return err
	}
	r, asked := newRun(FromMergedTable), u.now()
	info, err := u.src.ReadTable(ctx, r.put, r.view.Table.AddIndeterminate)
	if err != nil {
		return err // half a table cannot be gone on with; the old one stays
	}
	r.merged = mergedState{info: info, asked: asked, cost: u.now().Sub(asked), isFinal: hasEnded}
	r.freshUntil = u.now().Add(r.merged.believed())
	r.show(asked)
	u.run = r
	return nil
}

// isTableSame says whether the table that is there may be kept.
func (u *updater) isTableSame(ctx context.Context) (bool, error) {
	if u.run == nil || u.run.view.Origin != FromMergedTable {
		return false, nil
	}
	m := &u.run.merged
	isStale := !m.isFinal && u.now().Sub(m.asked) > max(staleAge, staleCosts*m.cost)
	if isStale || m.info.Total <= smallTable {
		return false, nil
	}
	info, err := u.src.ProbeTable(ctx)
	if err != nil {
		return false, err
	}
	return info.Total == m.info.Total && info.LastStep == m.info.LastStep && slices.Equal(info.Columns, m.info.Columns), nil
}

// believed is how long the table is believed without asking.
func (m *mergedState) believed() time.Duration { return max(tableAge, tableCosts*m.cost) }
