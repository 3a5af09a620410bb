package processor

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

func TestGate_LeavesAProcessorFree(t *testing.T) {
	for processors, places := range map[int]int{1: 1, 2: 1, 3: 2, 16: 15} {
		g := NewGate(processors)
		for range places {
			if !g.places.TryAcquire(1) {
				t.Fatalf("of %d processors fewer are used than can be spared", processors)
			}
		}
		if g.places.TryAcquire(1) {
			t.Errorf("of %d processors more than %d are used", processors, places)
		}
	}
}

func TestTurn_GoesRoundInTheOrderOfAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := With(t.Context(), NewGate(2))
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				turn := TurnOf(ctx)
				err := turn.Do(func() error {
					for range 2 {
						mu.Lock()
						order = append(order, i)
						mu.Unlock()
						if err := errors.Join(pause(), turn.Pass()); err != nil {
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

func TestTurn_IsGivenBackWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := With(t.Context(), NewGate(2))
		var all sync.WaitGroup
		start := time.Now()
		for range 5 {
			turn := TurnOf(ctx)
			all.Go(func() {
				err := turn.Do(func() error {
					return turn.Outside(func() error {
						return errors.Join(pause(), turn.Do(func() error { return turn.Do(func() error { return nil }) }))
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

func TestTurn_OfACallThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate(2)
		ctx, cancel := context.WithCancel(With(t.Context(), gate))
		turn, other := TurnOf(ctx), TurnOf(With(t.Context(), gate))
		wrong := errors.New("wrong")
		err := turn.Do(func() error {
			err := turn.Outside(func() error {
				go func() { _ = other.Do(pause) }()
				synctest.Wait()
				cancel()
				return wrong
			})
			if turn.isHeld {
				t.Error("a turn that could not be taken again is held")
			}
			return errors.Join(err, turn.Outside(func() error { return nil }))
		})
		if !errors.Is(err, wrong) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want both errors", err)
		}
		if err := turn.Do(func() error { t.Error("it works although its call has ended"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := pause(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the other one has given its turn back
		if !gate.places.TryAcquire(1) || gate.places.TryAcquire(1) {
			t.Error("the gate is not as it was")
		}
	})
}

func TestTurn_HandsErrorsOnAsTheyAre(t *testing.T) {
	turn := TurnOf(With(t.Context(), NewGate(2)))
	fail := func() error { return io.EOF }
	for name, got := range map[string]error{
		"of work": turn.Do(fail), "of what is waited for": turn.Do(func() error { return turn.Outside(fail) }),
	} {
		if got != io.EOF { //nolint:errorlint // readers compare
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTurn_WithoutAGateNeverWaits(t *testing.T) {
	for name, turn := range map[string]*Turn{"of a plain context": TurnOf(t.Context()), "nil": nil} {
		done := 0
		err := turn.Do(func() error {
			done++
			return errors.Join(turn.Pass(), turn.Outside(func() error { done++; return nil }))
		})
		if err != nil || done != 2 {
			t.Errorf("%s: %v, %d of 2 done", name, err, done)
		}
	}
}
