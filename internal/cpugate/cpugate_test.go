package cpugate

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pause lets a bubble's time go by; to the gate it is work like any other.
func pause() error {
	time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
	return nil
}

func TestGate_LeavesOneProcessorFree(t *testing.T) {
	for processors, slots := range map[int]int{1: 1, 2: 1, 3: 2, 16: 15} {
		g := NewGate(processors)
		for range slots {
			if !g.slots.TryAcquire(1) {
				t.Fatalf("of %d processors fewer are used than can be spared", processors)
			}
		}
		if g.slots.TryAcquire(1) {
			t.Errorf("of %d processors more than %d are used", processors, slots)
		}
	}
}

func TestGate_GrantsInRequestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate(2)
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				for range 2 {
					err := gate.Do(t.Context(), func() error {
						mu.Lock()
						order = append(order, i)
						mu.Unlock()
						return pause()
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
			synctest.Wait() // each asks before the next one
		}
		all.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 0, 1, 2}) {
			t.Errorf("pieces were done by %v", order)
		}
	})
}

func TestGate_ReleasesItsSlotAfterAnError(t *testing.T) {
	gate := NewGate(2)
	if err := gate.Do(t.Context(), func() error { return io.EOF }); err != io.EOF { //nolint:errorlint // readers compare
		t.Errorf("got %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = gate.Do(t.Context(), func() error { panic("wrong") })
	}()
	if !gate.slots.TryAcquire(1) {
		t.Error("the gate is not as it was")
	}
}

func TestGate_LimitsConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate(2)
		var all sync.WaitGroup
		start := time.Now()
		for range 3 {
			all.Go(func() {
				if err := gate.Do(t.Context(), pause); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("three pieces of a second took %v, want one after the other", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() { _ = gate.Do(context.WithoutCancel(t.Context()), pause) })
		synctest.Wait()
		cancel()
		if err := gate.Do(ctx, func() error { t.Error("it works although its call has ended"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := (*Gate)(nil).Do(ctx, func() error { return io.EOF }); err != io.EOF { //nolint:errorlint // as it is
			t.Errorf("no gate: %v", err)
		}
		all.Wait()
	})
}
