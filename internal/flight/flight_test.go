package flight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGroup_CallersShareTheWorkOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		var calls atomic.Int32
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				v, err := g.Do(t.Context(), string(rune('a'+i%2)), func(context.Context) (int, error) {
					calls.Add(1)
					<-time.After(time.Second)
					return 42, nil
				})
				if v != 42 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		synctest.Wait()
		if n := g.Callers("a"); n != 50 {
			t.Errorf("%d callers, want 50", n)
		}
		all.Wait()
		if calls.Load() != 2 || g.Callers("a") != 0 {
			t.Errorf("%d calls for two keys, %d callers are left", calls.Load(), g.Callers("a"))
		}
	})
}

func TestGroup_LastCallerCancelsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		var canceled atomic.Bool
		slow := func(ctx context.Context) (int, error) {
			<-ctx.Done()
			canceled.Store(true)
			<-time.After(time.Second) // it dies slowly
			return 0, ctx.Err()
		}
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		for _, ctx := range []context.Context{first, second} {
			go func() {
				if _, err := g.Do(ctx, "k", slow); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			}()
			synctest.Wait()
		}
		leaveFirst()
		synctest.Wait()
		if canceled.Load() || g.Callers("k") != 1 {
			t.Fatalf("canceled although a caller waits; %d callers", g.Callers("k"))
		}
		leaveSecond()
		synctest.Wait()
		if !canceled.Load() {
			t.Error("the work continues for nobody")
		}
		v, err := g.Do(t.Context(), "k", func(context.Context) (int, error) { return 7, nil })
		if v != 7 || err != nil {
			t.Errorf("a new caller got %d, %v: it must not join what is dying", v, err)
		}
		if _, err := g.Do(first, "k", slow); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that has ended got %v", err)
		}
		g.Close()
	})
}

func TestGroup_CloseCancelsAllWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		call, started := g.Join(t.Context(), "k", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if !started {
			t.Error("joined what nobody has started")
		}
		g.Close()
		<-call.Done()
		if _, err := call.Result(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := g.Do(t.Context(), "k", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestGroup_ManyCallersJoinAndLeave(t *testing.T) {
	var g Group[int, int]
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*100*time.Microsecond)
			defer cancel()
			v, err := g.Do(ctx, 1, func(ctx context.Context) (int, error) {
				select {
				case <-time.After(200 * time.Microsecond):
					return 42, nil
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			})
			if err == nil && v != 42 {
				t.Errorf("got %v", v)
			}
			if errors.Is(err, context.Canceled) && ctx.Err() == nil {
				t.Error("a caller that waits was handed another's end")
			}
		})
	}
	all.Wait()
	g.Close()
}
