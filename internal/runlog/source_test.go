package runlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// errCut is how the body of a file source ends when it is cut.
var errCut = errors.New("the connection is gone")

// fileSource is a run in memory with the manners of the Viewer's file route:
// ranges, an ETag of time and size, 416 at the end.
type fileSource struct {
	mu        sync.Mutex
	file      []byte
	touched   int  // the file's time
	absent    bool // no event file yet
	whole     bool // ranges are ignored
	ended     bool
	deleted   bool
	notServed bool // no file route
	noETag    bool
	cuts      []int // the next bodies end after so many bytes

	table     []eventlog.Row
	nulls     map[string]int
	unplaced  int64
	tableCost time.Duration
	clock     *clock

	started       int // requests, those included that were given up
	requests      int
	served        int64
	endedCalls    int // for the status
	probes, reads int // of the table
	hold          chan struct{}
	held          chan struct{} // closed when a request has come to hold
}

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// set changes the source between two reads.
func (s *fileSource) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *fileSource) append(text string) {
	s.set(func() { s.file, s.touched, s.absent = append(slices.Clip(s.file), text...), s.touched+1, false })
}

func (s *fileSource) replace(text string) {
	s.set(func() { s.file, s.touched = []byte(text), s.touched+1 })
}

// counts returns what was asked since the last call.
func (s *fileSource) counts() (requests int, served int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.requests, s.served = 0, 0 }()
	return s.requests, s.served
}

func (s *fileSource) ReadEvents(ctx context.Context, offset, length int64) (*Part, error) {
	s.set(func() { s.started++ })
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	switch {
	case s.notServed:
		return nil, fmt.Errorf("read: %w", ErrNotServed)
	case s.deleted:
		return nil, fmt.Errorf("read: %w", ErrRunNotFound)
	case s.absent:
		return s.part(PartAbsent, -1, nil), nil
	}
	size := int64(len(s.file))
	switch {
	case s.whole:
		return s.part(PartWhole, size, s.file), nil
	case offset == size:
		return s.part(PartUnchanged, size, nil), nil
	case offset > size:
		return s.part(PartShrunk, size, nil), nil
	case length > 0:
		return s.part(PartRanged, size, s.file[offset:min(offset+length, size)]), nil
	}
	return s.part(PartRanged, size, s.file[offset:]), nil
}

// wait holds a request, if the test wants that.
func (s *fileSource) wait(ctx context.Context) error {
	s.mu.Lock()
	hold, held := s.hold, s.held
	s.held = nil
	s.mu.Unlock()
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

func (s *fileSource) part(state PartState, size int64, body []byte) *Part {
	p := &Part{State: state, Size: size}
	if size >= 0 && !s.noETag {
		p.ETag = fmt.Sprintf("%d-%d", s.touched, size)
	}
	r := io.Reader(&counted{r: bytes.NewReader(body), s: s})
	if len(s.cuts) > 0 && len(body) > 0 {
		r = io.MultiReader(io.LimitReader(r, int64(s.cuts[0])), failing{})
		s.cuts = s.cuts[1:]
	}
	p.Body = io.NopCloser(r)
	return p
}

// counted counts the bytes that are read.
type counted struct {
	r io.Reader
	s *fileSource
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.s.set(func() { c.s.served += int64(n) })
	return n, err
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errCut }

func (s *fileSource) ReadTable(ctx context.Context, put func(*eventlog.Row) error, nulls func(string, int)) (TableInfo, error) {
	if err := s.wait(ctx); err != nil {
		return TableInfo{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.deleted {
		return TableInfo{}, fmt.Errorf("read the table: %w", ErrRunNotFound)
	}
	if s.clock != nil {
		s.clock.advance(s.tableCost)
	}
	for i := range s.table {
		if err := put(&s.table[i]); err != nil {
			return TableInfo{}, err
		}
	}
	for name, n := range s.nulls {
		nulls(name, n)
	}
	return s.info(), nil
}

func (s *fileSource) ProbeTable(context.Context) (TableInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probes++
	return s.info(), nil
}

func (s *fileSource) info() TableInfo {
	info := TableInfo{Total: int64(len(s.table)) + s.unplaced, UnplacedRows: s.unplaced}
	if n := len(s.table); n > 0 {
		info.LastStep = s.table[n-1].Step
	}
	return info
}

func (s *fileSource) HasEnded(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endedCalls++
	return s.ended, nil
}

// line is an event line of one metric.
func line(step int, value string) string {
	return fmt.Sprintf(`{"ts": %d.5, "type": "metrics", "data": {"loss": %s, "global_step": %d, "time": %d.25}}`+"\n",
		1_800_000_000+step, value, step, 1_800_000_000+step)
}

// lines are n lines of steps from the first.
func lines(first, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(first+i, fmt.Sprintf("%d.125", first+i)))
	}
	return b.String()
}

// newTestCache returns a cache that ends with the test.
func newTestCache(tb testing.TB, cfg CacheConfig) *Cache {
	tb.Helper()
	c := NewCache(cfg)
	tb.Cleanup(c.Close)
	return c
}

// theRun is the key of tests that need one.
var theRun = Key{Viewer: "v", RunID: "r"}

// read returns the values of loss by step, and the view without its table.
func read(t *testing.T, c *Cache, src Source) (map[int64]float64, View) {
	t.Helper()
	values, view, err := tryRead(t.Context(), c, theRun, src)
	if err != nil {
		t.Fatalf("read the run: %v", err)
	}
	return values, view
}

func tryRead(ctx context.Context, c *Cache, key Key, src Source) (values map[int64]float64, view View, err error) {
	values = map[int64]float64{}
	err = c.Read(ctx, key, src, func(v *View) error {
		view = *v
		view.Table = nil
		for _, s := range v.Table.Series(eventlog.Selection{Names: []string{"loss"}}) {
			for i, step := range s.Steps {
				values[step] = s.Values[i]
			}
		}
		return nil
	})
	return values, view, err
}

// upTo is what lines of steps from 0 say.
func upTo(n int) map[int64]float64 {
	want := map[int64]float64{}
	for i := range n {
		want[int64(i)] = float64(i) + 0.125
	}
	return want
}
