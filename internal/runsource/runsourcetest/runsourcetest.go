// Package runsourcetest has a run in memory, for tests of readers of runs.
package runsourcetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// ErrCut ends the body of a file source that is truncated.
var ErrCut = errors.New("the connection is gone")

// FileSource is a run in memory that behaves like the Viewer's file route: ranges, an ETag
// from time and size, 416 at the end.
type FileSource struct {
	Mu        sync.Mutex
	File      []byte
	Touched   int  // the file's time
	Absent    bool // no event file yet
	Whole     bool // ranges are ignored
	Ended     bool
	Deleted   bool
	NotServed bool // no file route
	NoETag    bool
	Cuts      []int // the next bodies are truncated after so many bytes

	Table            []eventlog.Row
	Nulls            map[string]int
	LinesWithoutStep int64
	TableCost        time.Duration
	Clock            *Clock

	Started       int // requests, including canceled ones
	Requests      int
	Served        int64
	StatusCalls   int // reads of the status
	Probes, Reads int // of the table
	Hold          chan struct{}
	Held          chan struct{} // closed when a request is held
}

// Clock is a manually advanced clock.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock.
func NewClock() *Clock { return &Clock{now: time.Unix(1_800_000_000, 0)} }

// Now returns the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance advances the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Set changes the source with its lock held.
func (s *FileSource) Set(change func()) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	change()
}

// Append appends to the event file.
func (s *FileSource) Append(text string) {
	s.Set(func() { s.File, s.Touched, s.Absent = append(slices.Clip(s.File), text...), s.Touched+1, false })
}

// Replace replaces the event file.
func (s *FileSource) Replace(text string) {
	s.Set(func() { s.File, s.Touched = []byte(text), s.Touched+1 })
}

// Counts returns the requests and bytes since the last call.
func (s *FileSource) Counts() (requests int, served int64) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	defer func() { s.Requests, s.Served = 0, 0 }()
	return s.Requests, s.Served
}

// ReadEvents reads the event file.
func (s *FileSource) ReadEvents(ctx context.Context, offset, length int64) (*restclient.FilePart, error) {
	s.Set(func() { s.Started++ })
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Requests++
	switch {
	case s.NotServed:
		return nil, fmt.Errorf("read: %w", runsource.ErrNotServed)
	case s.Deleted:
		return nil, fmt.Errorf("read: %w", runsource.ErrRunNotFound)
	case s.Absent:
		return s.part(restclient.FileAbsent, -1, nil), nil
	}
	size := int64(len(s.File))
	switch {
	case s.Whole:
		return s.part(restclient.FileWhole, size, s.File), nil
	case offset == size:
		return s.part(restclient.FileUnchanged, size, nil), nil
	case offset > size:
		return s.part(restclient.FileShrunk, size, nil), nil
	case length > 0:
		return s.part(restclient.FileRanged, size, s.File[offset:min(offset+length, size)]), nil
	}
	return s.part(restclient.FileRanged, size, s.File[offset:]), nil
}

// wait delays a request while the test holds it.
func (s *FileSource) wait(ctx context.Context) error {
	s.Mu.Lock()
	hold, held := s.Hold, s.Held
	s.Held = nil
	s.Mu.Unlock()
	if held != nil {
		close(held)
	}
	if hold == nil {
		return ctx.Err()
	}
	select {
	case <-hold:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *FileSource) part(state restclient.FileState, size int64, body []byte) *restclient.FilePart {
	etag := ""
	if size >= 0 && !s.NoETag {
		etag = fmt.Sprintf("%d-%d", s.Touched, size)
	}
	r := io.Reader(&counted{r: bytes.NewReader(body), s: s})
	if len(s.Cuts) > 0 && len(body) > 0 {
		r = io.MultiReader(io.LimitReader(r, int64(s.Cuts[0])), failing{})
		s.Cuts = s.Cuts[1:]
	}
	return restclient.NewFilePart(state, 0, size, etag, io.NopCloser(r))
}

// counted counts the bytes that are read.
type counted struct {
	r io.Reader
	s *FileSource
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.s.Set(func() { c.s.Served += int64(n) })
	return n, err
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, ErrCut }

// ReadTable reads the merged table.
func (s *FileSource) ReadTable(ctx context.Context, put func(*eventlog.Row) error, nulls func(string, int)) (restclient.TableInfo, error) {
	if err := s.wait(ctx); err != nil {
		return restclient.TableInfo{}, err
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Reads++
	if s.Deleted {
		return restclient.TableInfo{}, fmt.Errorf("read the table: %w", runsource.ErrRunNotFound)
	}
	if s.Clock != nil {
		s.Clock.Advance(s.TableCost)
	}
	for i := range s.Table {
		if err := put(&s.Table[i]); err != nil {
			return restclient.TableInfo{}, err
		}
	}
	for name, n := range s.Nulls {
		nulls(name, n)
	}
	return s.info(), nil
}

// ProbeTable returns the size of the merged table.
func (s *FileSource) ProbeTable(context.Context) (restclient.TableInfo, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Probes++
	return s.info(), nil
}

func (s *FileSource) info() restclient.TableInfo {
	info := restclient.TableInfo{Total: int64(len(s.Table)) + s.LinesWithoutStep, RowsWithoutStep: s.LinesWithoutStep}
	if n := len(s.Table); n > 0 {
		info.LastStep = s.Table[n-1].Step
	}
	return info
}

// Status has no text.
func (s *FileSource) Status(context.Context) (runsource.Status, time.Time, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.StatusCalls++
	return runsource.Status{Terminal: s.Ended}, time.Time{}, nil
}

// Line returns an event line with one metric.
func Line(step int, value string) string {
	return fmt.Sprintf(`{"ts": %d.5, "type": "metrics", "data": {"loss": %s, "global_step": %d, "time": %d.25}}`+"\n",
		1_800_000_000+step, value, step, 1_800_000_000+step)
}

// Lines returns n lines, with steps from first.
func Lines(first, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(Line(first+i, fmt.Sprintf("%d.125", first+i)))
	}
	return b.String()
}

// TheRun is the key for tests with one run.
var TheRun = runsource.Key{Viewer: "v", RunID: "r"}

// HoldNext delays requests. held is closed when the first has arrived; release lets all
// continue.
func (s *FileSource) HoldNext() (held <-chan struct{}, release func()) {
	hold, came := make(chan struct{}), make(chan struct{})
	s.Set(func() { s.Hold, s.Held = hold, came })
	return came, func() {
		s.Set(func() { s.Hold = nil })
		close(hold)
	}
}

// TableOf returns a merged table of n steps.
func TableOf(n int) []eventlog.Row {
	rows := make([]eventlog.Row, n)
	for i := range rows {
		rows[i] = eventlog.Row{
			Position: -1, Step: int64(i), Time: 1e9 + float64(i), HasTime: true,
			Cells: []eventlog.Cell{{Name: "loss", Kind: eventlog.KindNumber, Number: float64(i) + 0.125}},
		}
	}
	return rows
}

// Rewrite changes a value at an old step, which probes do not show.
func (s *FileSource) Rewrite(step int, value float64) {
	s.Set(func() {
		row := s.Table[step]
		row.Cells = []eventlog.Cell{{Name: "loss", Kind: eventlog.KindNumber, Number: value}}
		s.Table[step] = row
	})
}

// Grow adds a step to the merged table.
func (s *FileSource) Grow() { s.Set(func() { s.Table = TableOf(len(s.Table) + 1) }) }

// Backfill changes a value at an old step.
func (s *FileSource) Backfill() { s.Rewrite(3, -1) }

// RowOf returns a row of the merged table.
func RowOf(step int64, values ...float64) eventlog.Row {
	r := eventlog.Row{Position: -1, Step: step, Time: float64(step), HasTime: true}
	for i, v := range values {
		r.Cells = append(r.Cells, eventlog.Cell{Name: string(rune('a' + i)), Kind: eventlog.KindNumber, Number: v})
	}
	return r
}

// Point is one delivered value.
type Point struct {
	Name     string
	Step     int64
	Value    float64
	Position int64
}

// Points returns the points of the lines of steps in [from, to), where the first line is at
// an offset.
func Points(from, to int, offset int) []Point {
	var points []Point
	for step := from; step < to; step++ {
		points = append(points, Point{Name: "loss", Step: int64(step), Value: float64(step) + 0.125, Position: int64(offset)})
		offset += len(Lines(step, 1))
	}
	return points
}

// Heap returns the memory in use, in bytes.
func Heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
