package follow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// textSource is a text log: a file, as in a liveSource, or a stream.
type textSource struct {
	*liveSource
	connections int
	drop        chan struct{} // closed to end the connections
}

func newTextSource(text string) *textSource {
	return &textSource{liveSource: newLiveSource(text), drop: make(chan struct{})}
}

func (s *textSource) StreamLog(ctx context.Context, yield func(string) error, replayDone func()) error {
	s.Mu.Lock()
	s.connections++
	drop := s.drop
	s.Mu.Unlock()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for sent := 0; ; {
		s.Mu.Lock()
		text := string(s.File[min(sent, len(s.File)):])
		s.Mu.Unlock()
		for line := range strings.Lines(text) {
			if !strings.HasSuffix(line, "\n") {
				break
			}
			if err := yield(line[:len(line)-1]); err != nil {
				return err
			}
			sent += len(line)
		}
		replayDone()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-drop:
			return errors.New("the socket was closed")
		case <-ticker.C:
		}
	}
}

func followLog(t *testing.T, h *Hub, src runsource.LogSource, start runsource.Position) *client {
	t.Helper()
	cursor, err := h.FollowLog(runsourcetest.TheRun, src, nil, start, UntilEnded)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cursor.Close)
	return &client{t: t, cursor: cursor}
}

// texts returns the lines without their positions.
func (c *client) texts() []string {
	var texts []string
	for _, l := range c.lines {
		texts = append(texts, l.Text)
	}
	return texts
}

func numbered(from, to int) (texts []string, file string) {
	for i := from; i < to; i++ {
		texts = append(texts, fmt.Sprintf("line %06d of a log that is not short", i))
	}
	if len(texts) > 0 {
		file = strings.Join(texts, "\n") + "\n"
	}
	return texts, file
}

func TestFollowLog_Starts(t *testing.T) {
	const n, last = 30_000, 25_000 // more than is retained, of either kind
	tests := []struct {
		name  string
		lines int
		start runsource.Position
		first int // first line delivered
	}{
		{"the beginning", 10, runsource.Beginning(), 0},
		{"now", 10, runsource.Now(), 10},
		{"the last lines", 10, runsource.LastLines(3), 7},
		{"more last lines than there are", 10, runsource.LastLines(30), 0},
		{"no last lines", 10, runsource.LastLines(0), 10},
		{"the beginning of a large log", n, runsource.Beginning(), 0},
		{"the last lines of a large log", n, runsource.LastLines(last), n - last},
		{"all lines of a large log", n, runsource.LastLines(n), 0},
	}
	for _, stream := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, stream %t", tt.name, stream), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, file := numbered(0, tt.lines)
					src := newTextSource(file)
					src.NotServed = stream
					h := newTestHub(t, HubConfig{MaxRunBytes: 256 << 10})
					follower := followLog(t, h, src, runsource.Beginning())
					follower.wait(4 * time.Second)
					c := followLog(t, h, src, tt.start)
					c.wait(4 * time.Second)
					_, more := numbered(tt.lines, tt.lines+5)
					src.Append(more)
					c.wait(7 * time.Second)
					want, _ := numbered(tt.first, tt.lines+5)
					if diff := cmp.Diff(want, c.texts()); diff != "" || len(c.trace) != 1 {
						t.Errorf("%v, lines (-want +got):\n%.600s", c.trace, diff)
					}
					late := followLog(t, newTestHub(t, HubConfig{}), src, c.at)
					src.Append("the end\n")
					late.wait(8 * time.Second)
					if diff := cmp.Diff([]string{"the end"}, late.texts()); diff != "" {
						t.Errorf("resumed elsewhere (-want +got):\n%.600s", diff)
					}
				})
			})
		}
	}
}

func TestFollowLog_Lines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("ä", logbatch.MaxLogLine)
		src := newTextSource("10%\r20%\r100%\nbad \xff byte\n\n" + long + "\nwindows\r\n" + long[:logbatch.MaxLogLine+10])
		c := followLog(t, newTestHub(t, HubConfig{}), src, runsource.Beginning())
		c.wait(2 * time.Second)
		src.Append(long + "\nlast, without a newline")
		c.wait(2 * time.Second)
		src.setStatus("finished")
		c.wait(time.Minute)
		var got []string
		for _, l := range c.lines {
			got = append(got, fmt.Sprintf("%.24q %t %t", l.Text, l.Lossy, len(l.Text) > logbatch.MaxLogLine-8))
		}
		want := []string{
			`"10%\r20%\r100%" false false`, `"bad � byte" true false`, `"" false false`,
			fmt.Sprintf("%.24q true true", long), `"windows" false false`, fmt.Sprintf("%.24q true true", long),
			`"last, without a newline" false false`,
		}
		if diff := cmp.Diff(want, got); diff != "" || !c.ended {
			t.Errorf("over: %t, lines (-want +got):\n%s", c.ended, diff)
		}
	})
}

func TestFollowLog_StreamIsSharedAndResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, file := numbered(0, 10)
		src := newTextSource(file)
		src.NotServed = true
		h := newTestHub(t, HubConfig{})
		var all sync.WaitGroup
		clients := make([]*client, 20)
		for i := range clients {
			clients[i] = followLog(t, h, src, runsource.Beginning())
			all.Go(func() { clients[i].wait(40 * time.Second) })
		}
		time.Sleep(5 * time.Second) //nolint:forbidigo // the bubble's clock
		src.Set(func() {
			close(src.drop)
			src.drop = make(chan struct{})
		})
		_, more := numbered(10, 20)
		src.Append(more)
		time.Sleep(15 * time.Second) //nolint:forbidigo // the bubble's clock
		want, _ := numbered(0, 20)
		src.Mu.Lock()
		connections := src.connections
		src.Mu.Unlock()
		if connections != 2 {
			t.Errorf("%d connections, want 2", connections)
		}
		all.Wait()
		for _, c := range clients {
			if diff := cmp.Diff(want, c.texts()); diff != "" {
				t.Fatalf("lines (-want +got):\n%s", diff)
			}
		}
		src.Set(func() {
			src.File = []byte("another\n" + file + more)
			close(src.drop)
			src.drop = make(chan struct{})
		})
		clients[0].wait(20 * time.Second)
		if got := clients[0].texts(); len(got) != 21 || got[0] != "another" || clients[0].trace[1] != "reset replaced" {
			t.Errorf("%v, %d lines", clients[0].trace, len(got))
		}
	})
}
