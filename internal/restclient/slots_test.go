package restclient

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// enterAll makes each call wait for a slot, one after the other, and returns the order of
// admission. Each holds its slot for a second.
func enterAll(t *testing.T, g *slotLimiter, calls []struct {
	name       string
	class      class
	background bool
},
) []string {
	t.Helper()
	var mu sync.Mutex
	var order []string
	var wg sync.WaitGroup
	for _, call := range calls {
		wg.Go(func() {
			release, err := g.acquire(t.Context(), call.class, call.background)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, call.name)
			mu.Unlock()
			pass(t, time.Second)
			release()
			release() // a second call must not free another slot
		})
		synctest.Wait()
	}
	wg.Wait()
	return order
}

func TestSlotLimiter_AdmitsForegroundFirst(t *testing.T) {
	type waiting = []struct {
		name       string
		class      class
		background bool
	}
	for _, tt := range []struct {
		name  string
		gate  *slotLimiter
		calls waiting
		want  []string
	}{
		{
			"in the order of arrival", newSlotLimiter(1, 1, 1),
			waiting{{"a", light, false}, {"b", light, false}, {"c", light, false}},
			[]string{"a", "b", "c"},
		},
		{
			"before the background", newSlotLimiter(1, 1, 1),
			waiting{{"a", light, false}, {"back", light, true}, {"b", light, false}},
			[]string{"a", "b", "back"},
		},
		{
			"in addition to background calls", newSlotLimiter(2, 1, 1),
			waiting{{"back 1", light, true}, {"back 2", light, true}, {"fore", light, false}},
			[]string{"back 1", "fore", "back 2"},
		},
		{
			"past heavy calls that wait", newSlotLimiter(3, 1, 1),
			waiting{{"heavy 1", heavy, false}, {"heavy 2", heavy, false}, {"light", light, false}},
			[]string{"heavy 1", "light", "heavy 2"},
		},
		{
			"past streams that wait", newSlotLimiter(1, 1, 1),
			waiting{{"stream 1", stream, false}, {"stream 2", stream, false}, {"light", light, false}},
			[]string{"stream 1", "light", "stream 2"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := enterAll(t, tt.gate, tt.calls)
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestSlotLimiter_YieldingCallsWaitForOthers: they begin when another foreground call has
// ended, or after a while, one at a time, beside one that does not.
func TestSlotLimiter_YieldingCallsWaitForOthers(t *testing.T) {
	const yieldingLasts = 20 * time.Millisecond
	for _, tt := range []struct {
		name       string
		class      class
		background bool
		lasts      time.Duration
		want       [2]time.Duration // when the first and the second call begin
	}{
		{"a short call", light, false, 100 * time.Millisecond, [2]time.Duration{100 * time.Millisecond, 100 * time.Millisecond}},
		{"a long call", heavy, false, time.Minute, [2]time.Duration{maxYield, maxYield + yieldingLasts}},
		{"a call that ends between", light, false, maxYield + yieldingLasts/2, [2]time.Duration{maxYield, maxYield + yieldingLasts/2}},
		{"a download", stream, false, time.Minute, [2]time.Duration{}},
		{"a background call", light, true, time.Minute, [2]time.Duration{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newSlotLimiter(6, 2, 2)
				release, err := g.acquire(t.Context(), tt.class, tt.background)
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(tt.lasts, release)
				start := time.Now()
				var calls sync.WaitGroup
				began := make([]time.Duration, 2)
				for i := range began {
					calls.Go(func() {
						ctx, waited := Yielding(t.Context())
						releaseYielding, err := g.acquire(ctx, light, false)
						if err != nil {
							t.Error(err)
							return
						}
						if began[i] = time.Since(start); began[i] != waited() {
							t.Errorf("waited for %v, by its own account for %v", began[i], waited())
						}
						time.AfterFunc(yieldingLasts, releaseYielding)
					})
				}
				calls.Wait()
				if slices.Sort(began); !slices.Equal(began, tt.want[:]) {
					t.Errorf("they began after %v, want %v", began, tt.want)
				}
				pass(t, 2*time.Minute)
				g.mu.Lock()
				defer g.mu.Unlock()
				if g.preferred != 0 || g.yielding != 0 {
					t.Errorf("%d calls are still preferred, and %d yield", g.preferred, g.yielding)
				}
			})
		})
	}
}

func TestSlotLimiter_CanceledWaiterTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlotLimiter(1, 1, 1)
		release, err := g.acquire(t.Context(), light, false)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.acquire(ctx, light, false); err == nil {
			t.Fatal("two took one slot")
		}
		release()
		release, err = g.acquire(t.Context(), light, false)
		if err != nil {
			t.Fatal(err)
		}
		release()
	})
}

func TestSlotLimiter_KeepsItsLimitsUnderStress(t *testing.T) {
	const slots, heavySlots = 3, 2
	g := newSlotLimiter(slots, heavySlots, 1)
	var mu sync.Mutex
	inside := map[class]int{}
	enter := func(c class, n int) {
		mu.Lock()
		defer mu.Unlock()
		inside[c] += n
		if inside[light]+inside[heavy] > slots || inside[heavy] > heavySlots || inside[stream] > 1 {
			t.Errorf("inside: %v", inside)
		}
	}
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(20))*time.Millisecond)
			defer cancel()
			c := []class{light, heavy, stream}[i%3]
			release, err := g.acquire(ctx, c, i%2 == 0)
			if err != nil {
				return
			}
			enter(c, 1)
			enter(c, -1)
			release()
		})
	}
	wg.Wait()
	if got, want := fmt.Sprint(g.free, g.heavy, g.streams, g.background), fmt.Sprint(slots, heavySlots, 1, slots-1); got != want {
		t.Errorf("slots left: %s, want %s", got, want)
	}
	if len(g.foreQueue)+len(g.backQueue) > 0 {
		t.Error("a call still waits")
	}
}

func TestClient_HoldsItsSlotUntilTheBodyIsClosed(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("GET /api/runs/x", jsonAnswer(`{"id":"x","run_dir":"/r","metrics":"/r/events.jsonl"}`))
	v.on("GET /api/runs/x/assets/download", answer(200, "application/octet-stream", []byte("abc")))
	c := v.client(t)
	c.slots.streams = 1
	part, err := c.EventFile(t.Context(), "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.EventFile(ctx, "x", 0)
	wantKind(t, err, KindCanceled)
	if err := part.Close(); err != nil {
		t.Fatal(err)
	}
	if part, err = c.EventFile(t.Context(), "x", 0); err != nil {
		t.Fatal(err)
	}
	if err := part.Close(); err != nil {
		t.Error(err)
	}
}
