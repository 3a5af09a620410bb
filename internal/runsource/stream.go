package runsource

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// The size of a batch: large enough for a low cost per point, and small enough for low
// latency. A single line or value may be larger.
const (
	BatchPoints = 4096
	BatchBytes  = 32 << 10
	// PointWireBytes is the size of a point on the wire besides texts.
	PointWireBytes = 20
)

// errUnexpectedEnd reports that a log ended before its size at the start.
var errUnexpectedEnd = errors.New("the log ended before its size")

// Stream reads the current history of a run in log order, and passes the selected points to
// put in batches, whose series are valid until put returns, with what they were read from.
// It returns what was left out. The log is read once, up to its size at the start, and not
// buffered: memory does not depend on its length. A run without an event file is read by its
// merged table. An error, including that of put, means that points are missing. Parsing
// passes the gate, which may be nil; put and reads from the Viewer do not.
func Stream(ctx context.Context, gate *cpugate.Gate, src Source, selection eventlog.Selection, put func(Origin, []eventlog.Series) error) (eventlog.Counts, error) {
	s := &streamer{gate: gate, src: src, batch: eventlog.NewBatch(selection), put: put, origin: FromEventLog}
	err := s.readEvents(ctx)
	if errors.Is(err, ErrNotServed) && !s.flushed {
		s.origin, s.counts = FromMergedTable, eventlog.Counts{}
		var info restclient.TableInfo
		info, err = src.ReadTable(ctx, s.putTableRow, func(string, int) {})
		s.counts.LinesWithoutStep = uint64(info.RowsWithoutStep) //nolint:gosec // a count
	}
	if err == nil {
		err = s.flush()
	}
	return s.counts, err
}

type streamer struct {
	gate    *cpugate.Gate
	src     Source
	parser  eventlog.Parser
	batch   *eventlog.Batch
	added   int // cells of the current row that were already added
	full    *eventlog.Row
	put     func(Origin, []eventlog.Series) error
	origin  Origin
	counts  eventlog.Counts
	flushed bool // put was called
}

// readEvents reads the event file.
func (s *streamer) readEvents(ctx context.Context) (err error) {
	part, err := s.src.ReadEvents(ctx, 0, 0)
	if err != nil {
		return err
	}
	rest, offset, err := s.readPart(ctx, part)
	if err = errors.Join(err, part.Close()); err != nil {
		return err
	}
	if counts, err := LastLineCounts(ctx, s.src, rest, offset); err != nil || !counts {
		return err
	}
	_, err = s.parser.Finish(rest, offset, eventlog.Handler{Row: s.putRow})
	s.counts = s.parser.Counts()
	return err
}

// readPart parses the body and returns the bytes after its last newline, and their offset.
func (s *streamer) readPart(ctx context.Context, part *restclient.FilePart) (rest []byte, offset int64, err error) {
	body := io.Reader(part)
	if part.Size >= 0 {
		body = io.LimitReader(body, part.Size)
	}
	rest, err = ReadLines(body, minChunk, func(chunk []byte) (consumed int, err error) {
		for {
			n := 0
			err = Compute(ctx, s.gate, len(chunk)-consumed, func() (err error) {
				n, err = s.parser.Parse(chunk[consumed:], offset, eventlog.Handler{Row: s.addRow})
				return err
			})
			consumed, offset = consumed+n, offset+int64(n)
			s.counts = s.parser.Counts()
			if !errors.Is(err, errBatchFull) {
				return consumed, err
			}
			if err := s.putRow(s.full); err != nil {
				return consumed, err
			}
			s.added = len(s.full.Cells) // the current line will be parsed again
		}
	})
	if read := offset + int64(len(rest)); err == nil && part.Size > read && part.State != restclient.FileUnchanged {
		err = fmt.Errorf("%w: %d of %d bytes", errUnexpectedEnd, read, part.Size)
	}
	return rest, offset, err
}

// errBatchFull reports that a row does not fit into the batch.
var errBatchFull = errors.New("the batch is full")

// putTableRow adds a row of a merged table.
func (s *streamer) putTableRow(row *eventlog.Row) error {
	s.counts.Limit(row)
	return s.putRow(row)
}

// putRow adds a row, and flushes full batches.
func (s *streamer) putRow(row *eventlog.Row) error {
	for {
		if err := s.addRow(row); err == nil {
			return nil
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

// addRow adds a row, or the part of it that fits: after errBatchFull, s.full is the row to
// be added again after a flush.
func (s *streamer) addRow(row *eventlog.Row) error {
	piece := *row
	for s.added < len(row.Cells) {
		rest := row.Cells[s.added:]
		piece.Cells = rest[:FittingCells(rest)]
		points := s.batch.Points()
		isFull := points+len(piece.Cells) > BatchPoints || len(piece.Cells) < len(rest) ||
			s.batch.Bytes()+PointWireBytes*points >= BatchBytes
		if points > 0 && isFull {
			s.full = row
			return errBatchFull
		}
		s.batch.Append(&piece)
		s.added += len(piece.Cells)
	}
	s.added = 0
	return nil
}

// FittingCells returns how many cells of a row fit into an empty batch, at least one.
func FittingCells(cells []eventlog.Cell) int {
	bytes := 0
	for i := range cells {
		bytes += PointWireBytes + len(cells[i].Name) + len(cells[i].Text) + len(cells[i].Exact)
		if i > 0 && (bytes > BatchBytes || i == BatchPoints) {
			return i
		}
	}
	return len(cells)
}

// flush passes the batch to put.
func (s *streamer) flush() error {
	if s.batch.Points() == 0 {
		return nil
	}
	s.flushed = true
	err := s.put(s.origin, s.batch.Series())
	s.batch.Reset()
	return err
}
