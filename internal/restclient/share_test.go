package restclient

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowViewer takes a fixed time for every call.
func slowViewer(d time.Duration) roundTrip {
	return func(req *http.Request) (*http.Response, error) {
		if err := sleep(req.Context(), d); err != nil {
			return nil, err
		}
		return response(200, `{}`), nil
	}
}

// earliestStart returns when background work reserved now would start.
func earliestStart(c *Client) time.Time {
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	return c.limiter.earliest(time.Now())
}

func TestBackground_UsesItsShare(t *testing.T) {
	for _, share := range []float64{0.2, 0.5, 1} {
		synctest.Test(t, func(t *testing.T) {
			const cost = 100 * time.Millisecond
			c := bubbleClient(t, slowViewer(cost), func(cfg *Config) { cfg.Share = share })
			var spent time.Duration
			start := time.Now()
			c.limiter.next = start // no unused share
			for _, key := range []string{"a", "b", "a", "c", "a", "b", "d", "a", "b", "c", "a", "a"} {
				if err := c.Background(t.Context(), key, func(ctx context.Context) error {
					spent += cost
					_, err := c.Health(ctx)
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
			took := time.Since(start)
			// The pause after the last call is not over yet.
			if got := float64(spent-cost) / float64(took-cost); got > share*1.01 || got < share*0.9 {
				t.Errorf("share %v: %v of %v is %.3f", share, spent, took, got)
			}
		})
	}
}

func TestBackground_ConcurrentWorkUsesTheSameShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cost, calls = 50 * time.Millisecond, 40
		c := bubbleClient(t, slowViewer(cost))
		work := func(ctx context.Context) error { _, err := c.Health(ctx); return err }
		if err := c.Background(t.Context(), "k", work); err != nil { // so that its cost is known
			t.Fatal(err)
		}
		if got := c.Cost("k"); got != cost {
			t.Errorf("cost %v, want %v", got, cost)
		}
		start := time.Now()
		c.limiter.next = start.Add(4 * cost) // as if the first one had found no unused share
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				if err := c.Background(t.Context(), "k", work); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got, want := time.Since(start), calls*cost*5-4*cost; got < want*9/10 || got > want*11/10 {
			t.Errorf("took %v, want about %v", got, want)
		}
	})
}

func TestBackground_UnusedShareAllowsABurst(t *testing.T) {
	tests := []struct {
		name  string
		quiet time.Duration
		calls int // that start at once
	}{
		{"of a client that was just made", 0, 8},
		{"after a second", time.Second, 3},
		{"after a minute, as many as in the beginning", time.Minute, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := bubbleClient(t, slowViewer(100*time.Millisecond))
				if tt.quiet > 0 {
					c.limiter.next = time.Now()
				}
				time.Sleep(tt.quiet) //nolint:forbidigo // the bubble's clock
				calls := 0
				for ; !earliestStart(c).After(time.Now()) && calls < 100; calls++ {
					err := c.Background(t.Context(), "k", func(ctx context.Context) error { _, err := c.Health(ctx); return err })
					if err != nil {
						t.Fatal(err)
					}
				}
				if calls != tt.calls {
					t.Errorf("%d calls need not wait, want %d", calls, tt.calls)
				}
			})
		})
	}
}

func TestBackground_CanceledWaitIsNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubbleClient(t, slowViewer(time.Second))
		work := func(ctx context.Context) error { _, err := c.Health(ctx); return err }
		if err := c.Background(t.Context(), "k", work); err != nil {
			t.Fatal(err)
		}
		free := earliestStart(c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Background(ctx, "k", work); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if got := earliestStart(c); !got.Equal(free) {
			t.Errorf("earliest start moved by %v", got.Sub(free))
		}
	})
}

func TestBackground_ForegroundCallsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubbleClient(t, slowViewer(time.Second))
		start := time.Now()
		for range 3 {
			if _, err := c.Health(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("took %v", got)
		}
		if got := earliestStart(c); !got.Equal(time.Now()) {
			t.Errorf("the background waits for the foreground until %v", got)
		}
	})
}

// The call was probably waiting, so it is charged at most a multiple of its last cost.
func TestBackground_LimitsTheChargeOfOneSlowCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cost, slow = 10 * time.Millisecond, 2 * time.Second
		took := cost
		c := bubbleClient(t, roundTrip(func(req *http.Request) (*http.Response, error) { return slowViewer(took)(req) }))
		work := func(ctx context.Context) error { _, err := c.Health(ctx); return err }
		for range 100 { // no unused share is left
			if err := c.Background(t.Context(), "k", work); err != nil {
				t.Fatal(err)
			}
		}
		took = slow
		if err := c.Background(t.Context(), "k", work); err != nil {
			t.Fatal(err)
		}
		if wait := time.Until(earliestStart(c)); wait > maxCostGrowth*cost*5 {
			t.Errorf("the next call waits for %v", wait)
		}
		if got := c.Cost("k"); got != maxCostGrowth*cost {
			t.Errorf("the cost is %v", got)
		}
	})
}

func TestBackground_DividesTimeAmongConcurrentCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cost = 100 * time.Millisecond
		// A Viewer that does one thing at a time: n concurrent calls take n times as long.
		viewer := make(chan struct{}, 1)
		c := bubbleClient(t, func(req *http.Request) (*http.Response, error) {
			viewer <- struct{}{}
			defer func() { <-viewer }()
			return slowViewer(cost)(req)
		})
		var wg sync.WaitGroup
		for key, id := range map[string]string{"a": "20260101_000000_aaaaaa", "b": "20260101_000000_bbbbbb"} {
			wg.Go(func() {
				if err := c.Background(t.Context(), key, func(ctx context.Context) error {
					_, err := c.GetEnvironment(ctx, id)
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if charged := c.Cost("a") + c.Cost("b"); charged != 2*cost {
			t.Errorf("charged %v for what took the Viewer %v", charged, 2*cost)
		}
	})
}

// onChange is called when the share starts being used up and when it stops.
func TestBackground_ReportsAUsedUpShareOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cost = 100 * time.Millisecond
		h := newLogRecorder()
		c := bubbleClient(t, slowViewer(cost), withLog(h))
		work := func(pause, until time.Duration) {
			for start := time.Now(); time.Since(start) < until; pass(t, pause) {
				if err := c.Background(t.Context(), "list", func(ctx context.Context) error {
					_, err := c.Health(ctx)
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
		usedUp := func() bool { _, is := c.BackgroundTime(); return is }
		work(0, 3*shareWindow)
		wantLines(t, h, "WARN share of the viewer is used up, lists and tails are late viewer=lab")
		if spent, _ := c.BackgroundTime(); !usedUp() || spent < 2*shareWindow/5 {
			t.Errorf("%v spent, used up: %t", spent, usedUp())
		}
		work(2*time.Second, 3*shareWindow)
		wantLines(t, h, "INFO share of the viewer is no longer used up viewer=lab")
		if usedUp() {
			t.Error("a quiet Viewer's share is used up")
		}
	})
}
