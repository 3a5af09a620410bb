package follow

import (
	"context"
	"errors"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

const (
	// A table is probed for at most a twentieth of the Viewer's time, and read for at most
	// a sixth.
	probeCostFactor = 20
	readCostFactor  = 6
)

// errTableShrunk reports that steps are missing from a table.
var errTableShrunk = errors.New("the table has lost steps")

// tableState is the state of reading a merged table.
type tableState struct {
	info        restclient.TableInfo
	loaded      bool
	minInterval time.Duration // minimum interval after the last poll, from its cost
	// needsVerify reports errors: the Viewer may be another one now.
	needsVerify bool
}

// readTable reads the table if it may have changed, and appends the difference.
func (p *poller) readTable(ctx context.Context) (grown bool, err error) {
	t := &p.table
	if t.loaded && t.info.Total > runsource.SmallTable {
		start := time.Now()
		info, err := p.j.source.table.ProbeTable(ctx)
		if err != nil {
			return false, err
		}
		t.minInterval = probeCostFactor * time.Since(start)
		if runsource.IsSameTable(&info, &t.info) {
			return false, nil
		}
	}
	grown, err = p.readDiff(ctx)
	if !errors.Is(err, errTableShrunk) {
		return grown, err
	}
	p.table = tableState{}
	p.j.invalidate(LogTruncated)
	return p.readDiff(ctx)
}

// readLastTable reads the table once more, because a probe does not show late writes to old
// steps.
func (p *poller) readLastTable(ctx context.Context) error {
	grown, err := p.readDiff(ctx)
	if errors.Is(err, errTableShrunk) {
		p.table = tableState{}
		p.j.invalidate(LogTruncated)
		return errUnsettled
	}
	if grown {
		p.lastGrowth = time.Now() // the next poll may end the run
	}
	return err
}

// readDiff reads the whole table and appends what differs from the last read. A failed read
// has appended what it saw, which is valid too.
func (p *poller) readDiff(ctx context.Context) (grown bool, err error) {
	if !p.j.opened {
		p.j.open(runsource.Position{Origin: runsource.FromMergedTable}, -1)
		p.j.setSnapshot(logbatch.NewSnapshot())
	}
	start := time.Now()
	d := &diffBatcher{j: p.j, diff: p.j.snapshot.StartDiff(), cells: eventlog.NewBatch(eventlog.Selection{})}
	info, err := p.j.source.table.ReadTable(ctx, d.addRow, func(string, int) {})
	grown = d.finish()
	if err != nil {
		return grown, err
	}
	if d.diff.MissingRows() > 0 {
		return grown, errTableShrunk
	}
	p.j.setLeftOut(eventlog.Counts{LinesWithoutStep: uint64(max(info.RowsWithoutStep, 0)), Excess: d.excess})
	p.table.info, p.table.loaded = info, true
	p.table.minInterval = max(p.table.minInterval, readCostFactor*time.Since(start))
	p.j.setEnd(true, -1)
	return grown, nil
}

func (j *journal) setSnapshot(s *logbatch.Snapshot) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.snapshot = s
}

func (j *journal) setLeftOut(counts eventlog.Counts) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.leftOut = counts
}

// diffBatcher makes batches of the changed cells.
type diffBatcher struct {
	j      *journal
	diff   *logbatch.Diff
	cells  *eventlog.Batch
	points int
	bytes  int
	newest float64
	grown  bool
	excess eventlog.Excess
}

// addRow adds the next row of the table.
func (d *diffBatcher) addRow(row *eventlog.Row) error {
	d.excess.Limit(row)
	d.j.mu.Lock()
	changed, err := d.diff.AddRow(row, d.j.high.Offset+1)
	d.j.mu.Unlock()
	if err != nil || len(changed) == 0 {
		return err
	}
	part := *row
	part.Cells = changed
	d.cells.Append(&part)
	d.points += len(changed)
	for i := range changed {
		d.bytes += logbatch.CellWireBytes(&changed[i])
	}
	if row.HasTime && row.Time > d.newest {
		d.newest = row.Time
	}
	if d.points >= runsource.BatchPoints || d.bytes >= runsource.BatchBytes {
		d.flush()
	}
	return nil
}

// flush appends the collected cells. The batch number is their version.
func (d *diffBatcher) flush() {
	if d.points == 0 {
		return
	}
	s, from := d.j.snapshot, d.j.high
	to := runsource.Position{Origin: runsource.FromMergedTable, Offset: from.Offset + 1, Step: s.MaxStep, Digest: s.Digest}
	b := logbatch.NewTableBatch(from, to, d.cells.Take(), d.points, d.newest)
	d.points, d.bytes, d.grown = 0, 0, true
	d.j.append(b)
}

// finish appends the rest, and reports whether there was any difference.
func (d *diffBatcher) finish() bool {
	d.flush()
	d.j.mu.Lock()
	defer d.j.mu.Unlock()
	d.diff.Finish(d.j.high.Offset)
	d.j.notify()
	return d.grown
}
