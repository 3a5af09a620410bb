package restclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// TableInfo describes a table.
type TableInfo struct {
	TextQuality
	// Columns are the names in the Viewer's order, global_step first.
	Columns []string
	// Total is the number of distinct steps of the run.
	Total int64
	// RowsWithoutStep is the number of rows left out because their step does not fit an
	// int64. Total includes them. It is not meaningful for a sample.
	RowsWithoutStep int64
	// LastStep is the largest step, if there are any rows with a step.
	LastStep int64
}

var errRowCount = errors.New("the number of rows differs from the table's total")

// Table reads the merged metrics table of a run and passes each row to sink as it arrives:
// one value per step and metric, sorted by step. NaN and ±Inf cannot be distinguished from
// values that were never logged. Memory use does not depend on the size of the table.
//
// An error may follow valid rows: a table is complete only when Table returns nil. The Row
// is reused. An error of sink ends the call and is returned unchanged. A sink must not wait
// for slow readers: the call holds one of the few heavy slots and the Viewer's response.
// After the last row, nulls (if not nil) gets the number of null cells of every column that
// has any.
//
// The Viewer has an identical route, /metrics. Both send the whole table, at a cost of
// about 5 s per million rows.
//
//viewer:operation GET /api/runs/{run_id}/metrics_step 0.5 0.6 0.7
func (c *Client) Table(ctx context.Context, runID string, sink func(*eventlog.Row) error, nulls func(name string, n int)) (TableInfo, error) {
	x, err := c.do(ctx, call{cap: capMetricsTable, ids: []string{runID}, limit: -1})
	if err != nil {
		return TableInfo{}, err
	}
	info, err := x.readTable(sink, nulls)
	return info, x.closeWith(err)
}

// readTable decodes a complete, unsampled table.
func (x *exchange) readTable(sink func(*eventlog.Row) error, nulls func(string, int)) (TableInfo, error) {
	t, info, err := x.decodeTable(sink)
	if err != nil {
		return TableInfo{}, err
	}
	if t.rows != t.total {
		return TableInfo{}, x.malformed(fmt.Errorf("%w: %d of %d", errRowCount, t.rows, t.total))
	}
	info.LastStep = t.last
	if nulls != nil {
		for _, c := range t.columns {
			if c.nulls > 0 {
				nulls(c.name, c.nulls)
			}
		}
	}
	return info, nil
}

func (x *exchange) decodeTable(sink func(*eventlog.Row) error) (*tableDecoder, TableInfo, error) {
	if err := x.wantJSON(); err != nil {
		return nil, TableInfo{}, err
	}
	t := newTableDecoder(x, sink)
	if err := t.decode(); err != nil {
		if s, ok := errors.AsType[sinkError](err); ok {
			return nil, TableInfo{}, s.err
		}
		if errors.Is(err, errOverLimit) {
			return nil, TableInfo{}, x.failure(err)
		}
		return nil, TableInfo{}, x.malformed(fmt.Errorf("decode the table: %w", err))
	}
	if t.total < 0 {
		// Releases 0.5.0 to 0.5.2 send no total and do not sample.
		t.total = t.rows
	}
	return t, TableInfo{
		Columns: t.names, Total: t.total, RowsWithoutStep: t.withoutStep, TextQuality: TextQuality{Lossy: t.lossy},
	}, nil
}

// probeRows is the smallest sample size that the Viewer accepts.
const probeRows = 100

// ProbeTable reads the size of a run's table without the table. It still costs the Viewer a
// third of a whole table, because it computes all of it. Writes to old steps and new
// columns of old rows change at most Columns. Releases 0.5.0 to 0.5.2 cannot sample and
// send the whole table. The route is the same as Table's.
func (c *Client) ProbeTable(ctx context.Context, runID string) (TableInfo, error) {
	query := url.Values{"downsample": {strconv.Itoa(probeRows)}}
	info, err := c.probeTable(ctx, call{cap: capMetricsTable, ids: []string{runID}, query: query, limit: -1})
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusInternalServerError {
		// A string in the column that the Viewer picks for sampling is an uncaught error
		// there; the whole table works.
		return c.Table(ctx, runID, func(*eventlog.Row) error { return nil }, nil)
	}
	return info, err
}

func (c *Client) probeTable(ctx context.Context, q call) (TableInfo, error) {
	x, err := c.do(ctx, q)
	if err != nil {
		return TableInfo{}, err
	}
	t, info, err := x.decodeTable(func(*eventlog.Row) error { return nil })
	if err == nil {
		info.LastStep = t.last // the last row is always in the sample
		if t.rows > t.total {
			err = x.malformed(fmt.Errorf("%w: %d of %d", errRowCount, t.rows, t.total))
		}
	}
	return info, x.closeWith(err)
}
