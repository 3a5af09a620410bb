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

func TestSlot_IsGrantedInRequestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := WithGate(t.Context(), NewGate(2))
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				slot := SlotFrom(ctx)
				err := slot.Do(func() error {
					for range 2 {
						mu.Lock()
						order = append(order, i)
						mu.Unlock()
						if err := errors.Join(pause(), slot.Yield()); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // each asks before the next one
		}
		start := time.Now()
		all.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 0, 1, 2}) {
			t.Errorf("pieces were done by %v", order)
		}
		if took := time.Since(start); took != 6*time.Second {
			t.Errorf("6 pieces of a second took %v: more than one at a time", took)
		}
	})
}

func TestSlot_IsReleasedWhileUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := WithGate(t.Context(), NewGate(2))
		var all sync.WaitGroup
		start := time.Now()
		for range 5 {
			slot := SlotFrom(ctx)
			all.Go(func() {
				err := slot.Do(func() error {
					return slot.Unlocked(func() error {
						return errors.Join(pause(), slot.Do(func() error { return slot.Do(func() error { return nil }) }))
					})
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("five that wait a second took %v", took)
		}
	})
}

func TestSlot_OfACanceledCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate(2)
		ctx, cancel := context.WithCancel(WithGate(t.Context(), gate))
		slot, other := SlotFrom(ctx), SlotFrom(WithGate(t.Context(), gate))
		wrong := errors.New("wrong")
		err := slot.Do(func() error {
			err := slot.Unlocked(func() error {
				go func() { _ = other.Do(pause) }()
				synctest.Wait()
				cancel()
				return wrong
			})
			if slot.held {
				t.Error("a slot that could not be acquired again is held")
			}
			return errors.Join(err, slot.Unlocked(func() error { return nil }))
		})
		if !errors.Is(err, wrong) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want both errors", err)
		}
		if err := slot.Do(func() error { t.Error("it works although its call has ended"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := pause(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the other one has released its slot
		if !gate.slots.TryAcquire(1) || gate.slots.TryAcquire(1) {
			t.Error("the gate is not as it was")
		}
	})
}

func TestSlot_ReturnsErrorsUnwrapped(t *testing.T) {
	slot := SlotFrom(WithGate(t.Context(), NewGate(2)))
	fail := func() error { return io.EOF }
	for name, got := range map[string]error{
		"of work": slot.Do(fail), "of what is waited for": slot.Do(func() error { return slot.Unlocked(fail) }),
	} {
		if got != io.EOF { //nolint:errorlint // readers compare
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSlot_WithoutAGateNeverWaits(t *testing.T) {
	for name, slot := range map[string]*Slot{"of a plain context": SlotFrom(t.Context()), "nil": nil} {
		done := 0
		err := slot.Do(func() error {
			done++
			return errors.Join(slot.Yield(), slot.Unlocked(func() error { done++; return nil }))
		})
		if err != nil || done != 2 {
			t.Errorf("%s: %v, %d of 2 done", name, err, done)
		}
	}
}

func TestGate_DoBoundsWork(t *testing.T) {
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
