package interceptor

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPending(t *testing.T) {
	late := func(p *Pending, trusted bool, stay time.Duration, n int) int64 {
		var given atomic.Int64
		for range n {
			p.Begin(trusted, func() { given.Add(1) })
		}
		<-time.After(stay)
		synctest.Wait()
		return given.Load()
	}
	for name, tt := range map[string]struct {
		trusted bool
		stay    time.Duration
		n       int
		heap    int64 // what it grows by while they wait
		want    int64
	}{
		"the first ones have time":                        {true, 9 * time.Second, 2, 1 << 40, 0},
		"and no more than that":                           {true, 11 * time.Second, 2, 0, 2},
		"those beyond the bound are given up soon":        {true, time.Second, 5, 3 << 20, 3},
		"but not where they take no memory":               {true, 9 * time.Second, 5, 1 << 20, 0},
		"a request that is not trusted is given up soon":  {false, time.Second, 1, 0, 1},
		"nothing is given up before the time of the rest": {true, 200 * time.Millisecond, 5, 1 << 40, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, start := NewPending(), time.Now()
				p.Max = 2
				p.Heap = func() int64 {
					if time.Since(start) > 0 {
						return tt.heap
					}
					return 0
				}
				if got := late(p, tt.trusted, tt.stay, tt.n); got != tt.want {
					t.Errorf("%d of %d were given up, want %d", got, tt.n, tt.want)
				}
			})
		})
	}
	t.Run("a burst that is in is given up by nobody", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := NewPending()
			p.Max = 2
			var given atomic.Int64
			for range 100 {
				done := p.Begin(true, func() { given.Add(1) })
				time.AfterFunc(100*time.Millisecond, func() { done(); done() })
			}
			last := p.Begin(true, func() { given.Add(1) }) // is late, but alone when its time is up
			<-time.After(9 * time.Second)
			last()
			<-time.After(time.Minute)
			if open := p.open.Load(); given.Load() != 0 || open != 0 {
				t.Errorf("%d were given up, %d are open", given.Load(), open)
			}
		})
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Rate
		count := func(n int) (allowed int) {
			for range n {
				if r.Allow() {
					allowed++
				}
			}
			return allowed
		}
		if first := count(1000); first != rateBurst {
			t.Errorf("%d at once", first)
		}
		<-time.After(time.Second)
		if next := count(1000); next != ratePerSecond {
			t.Errorf("%d after a second", next)
		}
	})
}
