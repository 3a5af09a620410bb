package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// liveSource is a followed run: a file source with a status, which can be unreachable.
type liveSource struct {
	*runsourcetest.FileSource
	text        string // the status
	down        error
	statusCalls int // reads of the status
}

func newLiveSource(file string) *liveSource {
	return &liveSource{FileSource: &runsourcetest.FileSource{File: []byte(file)}, text: "running"}
}

func (s *liveSource) ReadEvents(ctx context.Context, offset, length int64) (*restclient.FilePart, error) {
	if err := s.downError(); err != nil {
		return nil, err
	}
	return s.FileSource.ReadEvents(ctx, offset, length)
}

func (s *liveSource) ReadLog(ctx context.Context, offset, length int64) (*restclient.FilePart, error) {
	return s.ReadEvents(ctx, offset, length)
}

func (s *liveSource) ReadTable(ctx context.Context, put func(*eventlog.Row) error, nulls func(string, int)) (restclient.TableInfo, error) {
	if err := s.downError(); err != nil {
		return restclient.TableInfo{}, err
	}
	return s.FileSource.ReadTable(ctx, put, nulls)
}

func (s *liveSource) downError() error {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if s.down != nil {
		s.Requests++
	}
	return s.down
}

func (s *liveSource) Status(context.Context) (runsource.Status, time.Time, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.statusCalls++
	switch {
	case s.down != nil:
		return runsource.Status{}, time.Time{}, s.down
	case s.Deleted:
		return runsource.Status{}, time.Time{}, fmt.Errorf("status: %w", runsource.ErrRunNotFound)
	}
	return runsource.Status{Text: s.text, Terminal: s.text != "running"}, time.Now(), nil
}

func (s *liveSource) setStatus(text string) { s.Set(func() { s.text = text }) }

// client collects what a cursor delivers, like a program that stores points and position
// together.
type client struct {
	t       testing.TB
	cursor  *Cursor
	points  []runsourcetest.Point
	lines   []logbatch.LogLine
	trace   []string // all items except batches
	batches int
	at      runsource.Position
	ended   bool
}

// wait takes items until none has come for the given time.
func (c *client) wait(quiet time.Duration) {
	c.t.Helper()
	for c.takeNext(quiet) {
	}
}

// waitFor takes items for the given time.
func (c *client) waitFor(d time.Duration) {
	c.t.Helper()
	for end := time.Now().Add(d); c.takeNext(time.Until(end)); {
	}
}

// takeNext takes the next item, and reports whether there was one and more may come.
func (c *client) takeNext(within time.Duration) bool {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	item, err := c.cursor.Next(ctx)
	switch {
	case err == nil:
		c.record(item)
		return true
	case errors.Is(err, context.DeadlineExceeded):
	case errors.Is(err, io.EOF):
		c.ended = true
	default:
		c.trace = append(c.trace, "error: "+err.Error())
	}
	return false
}

func (c *client) record(item *Item) {
	c.at = item.Position
	switch item.Kind {
	case ItemBatch:
		c.batches++
		c.lines = append(c.lines, item.Batch.Lines()...)
		for _, s := range item.Batch.Series() {
			for i := range s.Steps {
				p := runsourcetest.Point{Name: s.Name, Step: s.Steps[i]}
				if len(s.Values) > 0 {
					p.Value = s.Values[i]
				}
				if len(s.Positions) > 0 {
					p.Position = s.Positions[i]
				}
				c.points = append(c.points, p)
			}
		}
	case ItemCaughtUp:
		c.trace = append(c.trace, "caught up")
	case ItemReset:
		c.points, c.lines = nil, nil
		c.trace = append(c.trace, fmt.Sprintf("reset %s", item.Reset))
	case ItemStatus:
		c.trace = append(c.trace, "state "+item.Status.Text)
	case ItemEnd:
		c.trace = append(c.trace, fmt.Sprintf("end %d %s", item.End, item.Status.Text))
	}
}

// newTestHub returns a hub that ends with the test.
func newTestHub(tb testing.TB, cfg HubConfig) *Hub {
	tb.Helper()
	h := NewHub(cfg)
	tb.Cleanup(h.Close)
	return h
}

// follow returns a client of the run.
func follow(tb testing.TB, h *Hub, src runsource.Source, start runsource.Position, until Until) *client {
	tb.Helper()
	cursor, err := h.Follow(runsourcetest.TheRun, src, nil, start, until)
	if err != nil {
		tb.Fatalf("follow: %v", err)
	}
	tb.Cleanup(cursor.Close)
	return &client{t: tb, cursor: cursor}
}

func (c *client) check(points []runsourcetest.Point, trace ...string) {
	c.t.Helper()
	if diff := cmp.Diff(points, c.points); diff != "" {
		c.t.Fatalf("points (-want +got):\n%.2000s", diff)
	}
	if diff := cmp.Diff(trace, c.trace); diff != "" {
		c.t.Fatalf("besides points (-want +got):\n%s", diff)
	}
}

func TestFollow_DeliversEveryPointOnceAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newLiveSource(runsourcetest.Lines(0, 100))
		c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
		c.wait(3 * time.Second)
		c.check(runsourcetest.Points(0, 100, 0), "caught up")
		half := runsourcetest.Line(100, "100.125")
		src.Append(half[:30])
		c.wait(3 * time.Second)
		src.Append(half[30:])
		c.wait(3 * time.Second)
		c.check(runsourcetest.Points(0, 101, 0), "caught up")
		src.Append(strings.TrimSuffix(runsourcetest.Line(101, "101.125"), "\n"))
		src.setStatus("finished")
		began := time.Now()
		c.wait(time.Minute)
		c.check(runsourcetest.Points(0, 102, 0), "caught up", "state finished", "end 1 finished")
		if !c.ended || time.Since(began) > 20*time.Second {
			t.Errorf("over: %t, after %v", c.ended, time.Since(began))
		}
	})
}

// 0.5.3 reports a run as finished while the SDK writes its status.json, at the start and at
// the end.
func TestFollow_EndsOnlyAfterAConfirmedStatus(t *testing.T) {
	for _, tt := range []struct {
		then  string
		trace []string
	}{
		{"running", []string{"caught up", "state finished", "state running"}},
		{"failed", []string{"caught up", "state finished", "state failed", "end 1 failed"}},
		{"finished", []string{"caught up", "state finished", "end 1 finished"}},
	} {
		t.Run("then "+tt.then, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newLiveSource(runsourcetest.Lines(0, 3))
				c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
				c.waitFor(time.Minute) // idle for longer than the grace period
				src.setStatus("finished")
				for len(c.trace) < 2 && c.takeNext(time.Minute) {
				}
				src.setStatus(tt.then)
				c.waitFor(time.Minute)
				c.check(runsourcetest.Points(0, 3, 0), tt.trace...)
			})
		})
	}
}

func TestFollow_Starts(t *testing.T) {
	const n = 30_000 // more than is retained when the log is opened
	tests := []struct {
		name  string
		file  string
		start runsource.Position
		then  string
		want  []runsourcetest.Point
	}{
		{"the beginning of an empty log", "", runsource.Beginning(), runsourcetest.Lines(0, 3), runsourcetest.Points(0, 3, 0)},
		{"the beginning of a small log", runsourcetest.Lines(0, 3), runsource.Beginning(), runsourcetest.Lines(3, 3), runsourcetest.Points(0, 6, 0)},
		{"the beginning of a large log", runsourcetest.Lines(0, n), runsource.Beginning(), runsourcetest.Lines(n, 3), runsourcetest.Points(0, n+3, 0)},
		{"now, in an empty log", "", runsource.Now(), runsourcetest.Lines(0, 3), runsourcetest.Points(0, 3, 0)},
		{"now, in a small log", runsourcetest.Lines(0, 3), runsource.Now(), runsourcetest.Lines(3, 3), runsourcetest.Points(3, 6, len(runsourcetest.Lines(0, 3)))},
		{"now, in a large log", runsourcetest.Lines(0, n), runsource.Now(), runsourcetest.Lines(n, 3), runsourcetest.Points(n, n+3, len(runsourcetest.Lines(0, n)))},
		{"now, in the middle of a line", runsourcetest.Lines(0, 3) + runsourcetest.Line(3, "3.125")[:9], runsource.Now(), runsourcetest.Line(3, "3.125")[9:] + runsourcetest.Lines(4, 2), runsourcetest.Points(4, 6, len(runsourcetest.Lines(0, 4)))},
		{"now, in the middle of the first line", runsourcetest.Line(0, "0.125")[:9], runsource.Now(), runsourcetest.Line(0, "0.125")[9:] + runsourcetest.Lines(1, 2), runsourcetest.Points(1, 3, len(runsourcetest.Lines(0, 1)))},
		{"now, in the middle of a line of a large log", runsourcetest.Lines(0, n) + runsourcetest.Line(n, "3.125")[:9], runsource.Now(), runsourcetest.Line(n, "3.125")[9:] + runsourcetest.Lines(n+1, 2), runsourcetest.Points(n+1, n+3, len(runsourcetest.Lines(0, n)+runsourcetest.Line(n, "3.125")))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newLiveSource(tt.file)
				if tt.file == "" {
					src.Absent = true
				}
				h := newTestHub(t, HubConfig{})
				c := follow(t, h, src, tt.start, UntilEnded)
				c.wait(time.Second)
				early := c.at
				src.Append(tt.then)
				c.wait(5 * time.Second)
				c.check(tt.want, "caught up")
				late := follow(t, h, src, early, UntilEnded)
				late.wait(5 * time.Second)
				otherHub := follow(t, newTestHub(t, HubConfig{}), src, early, UntilEnded)
				otherHub.wait(5 * time.Second)
				if tt.start == runsource.Beginning() {
					for _, c := range []*client{late, otherHub} {
						c.check(tt.want[len(tt.want)-3:], "caught up")
					}
					return
				}
				late.check(tt.want, "caught up")
				otherHub.check(tt.want, "caught up")
			})
		})
	}
}
