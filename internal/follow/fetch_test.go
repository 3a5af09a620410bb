package follow

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// A heartbeat that is due while a slow Viewer is sending a chunk of history must not make
// it send the chunk again.
func TestCursor_AlarmDoesNotCancelHistoryRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 30_000 // more than is retained when the log is opened
		src := newLiveSource(runsourcetest.Lines(0, n))
		h := newTestHub(t, HubConfig{})
		first := follow(t, h, src, runsource.Now(), UntilEnded)
		first.wait(3 * time.Second) // the log is open, its status known
		hold, held := make(chan struct{}), make(chan struct{})
		src.Set(func() { src.Started, src.Hold, src.Held = 0, hold, held })
		c := follow(t, h, src, runsource.Beginning(), UntilEnded)
		alarm := make(chan time.Time)
		go func() {
			<-held
			for range 10 {
				alarm <- time.Now()
			}
			src.Set(func() { src.Hold = nil })
			close(hold)
		}()
		alarms := 0
		for len(c.points) < n {
			item, err := c.cursor.NextBefore(t.Context(), alarm)
			switch {
			case err != nil:
				t.Fatal(err)
			case item == nil:
				alarms++
			default:
				c.record(item)
			}
		}
		c.check(runsourcetest.Points(0, n, 0))
		src.Mu.Lock()
		defer src.Mu.Unlock()
		// Each piece is one request; the delayed poller makes one.
		if pieces := len(runsourcetest.Lines(0, n))/chunkBytes + 1; alarms != 10 || src.Started > pieces+2 {
			t.Errorf("%d alarms, %d requests for %d pieces", alarms, src.Started, pieces)
		}
	})
}

func TestCursor_CloseCancelsPendingHistoryRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newLiveSource(runsourcetest.Lines(0, 30_000))
		h := newTestHub(t, HubConfig{})
		first := follow(t, h, src, runsource.Now(), UntilEnded)
		first.wait(3 * time.Second)
		hold, held := make(chan struct{}), make(chan struct{})
		src.Set(func() { src.Hold, src.Held = hold, held })
		c := follow(t, h, src, runsource.Beginning(), UntilEnded)
		alarm := make(chan time.Time)
		go func() {
			<-held
			alarm <- time.Now()
		}()
		if item, err := c.cursor.NextBefore(t.Context(), alarm); item != nil || err != nil {
			t.Fatalf("got %+v, error %v", item, err)
		}
		key := c.cursor.pending.Key()
		inFlight := func() int { return h.history.reads.Callers(key) }
		if inFlight() != 1 {
			t.Errorf("%d reads under way, want 1", inFlight())
		}
		c.cursor.Close()
		if inFlight() != 0 {
			t.Errorf("%d reads under way after the only reader left", inFlight())
		}
		src.Set(func() { src.Hold = nil })
		close(hold)
	})
}
