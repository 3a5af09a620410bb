package runlog

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

const (
	// A table is probed at most for a twentieth of the Viewer's time, and read
	// for a sixth.
	probeCosts = 20
	readCosts  = 6
)

// errShrunkTable says that steps have vanished from a table.
var errShrunkTable = errors.New("the table has lost steps")

// table is how far a poller has read a merged table.
type table struct {
	info   TableInfo
	isRead bool
	pause  time.Duration // that the Viewer may expect after the last look
	// isSuspect says that there was trouble: another Viewer may be there now.
	isSuspect bool
}

// interval is the least time between two looks.
func (t *table) interval() time.Duration { return t.pause }

// readTable reads the table if it may have changed, and appends the difference.
func (p *poller) readTable(ctx context.Context) (hasGrown bool, err error) {
	t := &p.table
	if t.isRead && t.info.Total > smallTable {
		asked := time.Now()
		info, err := p.j.feed.table.ProbeTable(ctx)
		if err != nil {
			return false, err
		}
		t.pause = probeCosts * time.Since(asked)
		if info.Total == t.info.Total && info.LastStep == t.info.LastStep && slices.Equal(info.Columns, t.info.Columns) {
			return false, nil
		}
	}
	hasGrown, err = p.readDifference(ctx)
	if !errors.Is(err, errShrunkTable) {
		return hasGrown, err
	}
	p.table = table{}
	p.j.void(LogTruncated)
	return p.readDifference(ctx)
}

// readLastTable reads the table once more: what was written late to old steps
// does not show otherwise.
func (p *poller) readLastTable(ctx context.Context) error {
	hasGrown, err := p.readDifference(ctx)
	if errors.Is(err, errShrunkTable) {
		p.table = table{}
		p.j.void(LogTruncated)
		return errLater
	}
	if hasGrown {
		p.grewAt = time.Now() // the next look may end it
	}
	return err
}

// readDifference reads the whole table and appends what differs from what was
// read before. A read that fails has appended what it saw, which is as true as
// the rest.
func (p *poller) readDifference(ctx context.Context) (hasGrown bool, err error) {
	if !p.j.isOpened {
		p.j.open(Position{origin: FromMergedTable}, -1)
		p.j.setGrid(newGrid())
	}
	asked := time.Now()
	d := &difference{j: p.j, pass: p.j.grid.begin(), cells: eventlog.NewBatch(eventlog.Selection{})}
	info, err := p.j.feed.table.ReadTable(ctx, d.put, func(string, int) {})
	hasGrown = d.end()
	if err != nil {
		return hasGrown, err
	}
	if d.pass.lost() > 0 {
		return hasGrown, errShrunkTable
	}
	p.j.setUnplaced(info.UnplacedRows)
	p.table.info, p.table.isRead = info, true
	p.table.pause = max(p.table.pause, readCosts*time.Since(asked))
	p.j.arrive(true, -1)
	return hasGrown, nil
}

func (j *journal) setGrid(g *grid) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.grid = g
}

func (j *journal) setUnplaced(rows int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unplaced = uint64(max(rows, 0))
}

// difference makes batches of the cells that have changed.
type difference struct {
	j        *journal
	pass     *pass
	cells    *eventlog.Batch
	points   int
	bytes    int
	newest   float64
	hasTime  bool
	hasGrown bool
}

// put takes the next row of the table.
func (d *difference) put(row *eventlog.Row) error {
	d.j.mu.Lock()
	changed, err := d.pass.put(row, d.j.high.offset+1)
	d.j.mu.Unlock()
	if err != nil || len(changed) == 0 {
		return err
	}
	part := *row
	part.Cells = changed
	d.cells.Append(&part)
	d.points += len(changed)
	for i := range changed {
		d.bytes += weight(&changed[i])
	}
	if row.HasTime && (!d.hasTime || row.Time > d.newest) {
		d.newest, d.hasTime = row.Time, true
	}
	if d.points >= batchPoints || d.bytes >= batchBytes {
		d.flush()
	}
	return nil
}

// flush appends what was collected. Its number is the version of its cells.
func (d *difference) flush() {
	if d.points == 0 {
		return
	}
	g, from := d.j.grid, d.j.high
	b := &Batch{
		from: from, series: d.cells.Take(), points: d.points, newest: d.newest, hasNewest: d.hasTime,
		to: Position{origin: FromMergedTable, offset: from.offset + 1, step: g.greatest, digest: g.digest},
	}
	b.size = b.weigh()
	d.points, d.bytes, d.hasGrown = 0, 0, true
	d.j.append(b)
}

// end appends the rest, and says whether there was any difference.
func (d *difference) end() bool {
	d.flush()
	d.j.mu.Lock()
	defer d.j.mu.Unlock()
	d.pass.end(d.j.high.offset)
	d.j.announce()
	return d.hasGrown
}
