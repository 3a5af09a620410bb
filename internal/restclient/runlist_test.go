package restclient

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// countedList answers the list after a delay and counts the calls.
func countedList(sent *atomic.Int32, d time.Duration) roundTrip {
	return func(req *http.Request) (*http.Response, error) {
		if req.URL.Path != "/api/runs" {
			return response(200, `{"ok":true,"results":{},"checked":0}`), nil
		}
		sent.Add(1)
		if err := sleep(req.Context(), d); err != nil {
			return nil, err
		}
		return response(200, `[{"id":"a","path":"p/q","pid":1},{"id":"b"}]`), nil
	}
}

func TestRuns_CallersShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		c := bubbleClient(t, countedList(&sent, 50*time.Millisecond))
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				list, err := c.Runs(t.Context())
				if err != nil || len(list.Runs) != 2 || list.Find("a").Path.Value != "p/q" || list.Find("c") != nil {
					t.Errorf("%+v, %v", list, err)
				}
			})
		}
		wg.Wait()
		if got := sent.Load(); got != 1 {
			t.Errorf("sent %d calls", got)
		}
	})
}

func TestRuns_IsCachedForTenTimesItsCost(t *testing.T) {
	for _, tt := range []struct {
		name       string
		cost, age  time.Duration
		wantAtMost int32
		wantAfter  int32
	}{
		{"a cheap list for a second", 10 * time.Millisecond, time.Second, 1, 2},
		{"a dear list for longer", 2 * time.Second, 20 * time.Second, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int32
				c := bubbleClient(t, countedList(&sent, tt.cost))
				ask := func() *RunList {
					list, err := c.Runs(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					return list
				}
				first := ask()
				if first.Cost != tt.cost || first.Age() != tt.cost {
					t.Errorf("cost %v, age %v", first.Cost, first.Age())
				}
				pass(t, tt.age)
				if ask() != first || sent.Load() != tt.wantAtMost {
					t.Errorf("sent %d calls within the age", sent.Load())
				}
				pass(t, time.Millisecond)
				if ask() == first || sent.Load() != tt.wantAfter {
					t.Errorf("sent %d calls after the age", sent.Load())
				}
			})
		})
	}
}

func TestRuns_OwnChangesInvalidateTheList(t *testing.T) {
	const id = "20261123_151105_e4a55c"
	for _, tt := range []struct {
		name   string
		change func(context.Context, *Client) error
		stale  bool
	}{
		{"soft delete", func(ctx context.Context, c *Client) error { _, err := c.SoftDelete(ctx, []string{id}); return err }, true},
		{"restore", func(ctx context.Context, c *Client) error { _, err := c.Restore(ctx, []string{id}); return err }, true},
		{"patch", func(ctx context.Context, c *Client) error { _, err := c.PatchRun(ctx, id, RunPatch{}); return err }, true},
		{"purge", func(ctx context.Context, c *Client) error {
			_, err := c.PurgeBatch(ctx, []string{id}, false)
			return err
		}, true},
		{"empty bin", func(ctx context.Context, c *Client) error { _, err := c.EmptyBin(ctx); return err }, true},
		{"status check", func(ctx context.Context, c *Client) error { _, err := c.CheckStatuses(ctx); return err }, true},
		{"switch of the root", func(ctx context.Context, c *Client) error { _, err := c.SwitchRoot(ctx, "/x"); return err }, true},
		{"dry purge", func(ctx context.Context, c *Client) error {
			_, err := c.PurgeBatch(ctx, []string{id}, true)
			return err
		}, false},
		{"detail", func(ctx context.Context, c *Client) error { _, err := c.GetRun(ctx, id); return err }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int32
				c := bubbleClient(t, countedList(&sent, 0))
				if _, err := c.Runs(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := tt.change(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Runs(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := sent.Load() == 2; got != tt.stale {
					t.Errorf("sent %d lists", sent.Load())
				}
			})
		})
	}
}

func TestRuns_ListStartedBeforeAChangeIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		c := bubbleClient(t, countedList(&sent, time.Second))
		done := make(chan error)
		go func() { _, err := c.Runs(t.Context()); done <- err }()
		synctest.Wait()
		c.InvalidateRuns()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, err := c.Runs(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := sent.Load(); got != 2 {
			t.Errorf("sent %d lists, want a new one after the change", got)
		}
	})
}
