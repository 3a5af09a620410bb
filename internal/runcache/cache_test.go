package runcache

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// waiters returns the number of callers of the run's update.
func waiters(c *Cache, key runsource.Key) int {
	c.mu.Lock()
	e, _ := c.entries.Get(key)
	c.mu.Unlock()
	return c.updates.Callers(e)
}

func TestCache_ConcurrentReadersShareOneRead(t *testing.T) {
	const readers = 1000
	src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 100))}
	c := newTestCache(t, Config{})
	_, release := src.HoldNext()
	var reading sync.WaitGroup
	var wrong atomic.Int64
	for range readers {
		reading.Go(func() {
			if got, _, err := tryRead(t.Context(), c, runsourcetest.TheRun, src); err != nil || len(got) != 100 {
				wrong.Add(1)
			}
		})
	}
	for waiters(c, runsourcetest.TheRun) < readers { // until all have joined
		runtime.Gosched()
	}
	release()
	reading.Wait()
	requests, _ := src.Counts()
	if wrong.Load() > 0 || requests != 1 {
		t.Errorf("%d readers failed, %d requests; want 0 and 1", wrong.Load(), requests)
	}
}

func TestCache_Cancellation(t *testing.T) {
	t.Run("a canceled caller does not cancel the read of the others", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 10))}
		c := newTestCache(t, Config{})
		held, release := src.HoldNext()
		ctx, cancel := context.WithCancel(t.Context())
		var reading sync.WaitGroup
		reading.Go(func() {
			if _, _, err := tryRead(ctx, c, runsourcetest.TheRun, src); !errors.Is(err, context.Canceled) {
				t.Errorf("the one that left got %v", err)
			}
		})
		<-held // it has started the read
		reading.Go(func() {
			if got, _, err := tryRead(t.Context(), c, runsourcetest.TheRun, src); err != nil || len(got) != 10 {
				t.Errorf("the one that stayed got %d steps, %v", len(got), err)
			}
		})
		for waiters(c, runsourcetest.TheRun) < 2 {
			runtime.Gosched()
		}
		cancel()
		for waiters(c, runsourcetest.TheRun) > 1 {
			runtime.Gosched()
		}
		release()
		reading.Wait()
	})
	t.Run("the last caller cancels the read, and the next one starts a new one", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 10))}
		c := newTestCache(t, Config{})
		held, release := src.HoldNext()
		ctx, cancel := context.WithCancel(t.Context())
		var reading sync.WaitGroup
		reading.Go(func() {
			if _, _, err := tryRead(ctx, c, runsourcetest.TheRun, src); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		<-held
		cancel()
		reading.Wait()
		release()
		if got, _ := read(t, c, src); len(got) != 10 {
			t.Errorf("%d steps, want 10", len(got))
		}
	})
	t.Run("Close ends what is in flight", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 10))}
		c := New(Config{})
		held, _ := src.HoldNext()
		var reading sync.WaitGroup
		reading.Go(func() {
			if _, _, err := tryRead(t.Context(), c, runsourcetest.TheRun, src); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		<-held
		c.Close()
		reading.Wait()
		if _, _, err := tryRead(t.Context(), c, runsourcetest.TheRun, src); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
	t.Run("a canceled caller sends no request", func(t *testing.T) {
		src := &runsourcetest.FileSource{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := newTestCache(t, Config{})
		if _, _, err := tryRead(ctx, c, runsourcetest.TheRun, src); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if requests, _ := src.Counts(); requests != 0 || c.Stats() != (Stats{}) {
			t.Errorf("%d requests, %+v", requests, c.Stats())
		}
	})
}

func TestCache_Eviction(t *testing.T) {
	key := func(i int) runsource.Key { return runsource.Key{Viewer: "v", RunID: strconv.Itoa(i)} }
	get := func(t *testing.T, c *Cache, i int, src runsource.Source) {
		t.Helper()
		if _, _, err := tryRead(t.Context(), c, key(i), src); err != nil {
			t.Fatal(err)
		}
	}
	small, large := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 100))}, &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 8000))}
	one := New(Config{})
	get(t, one, 0, small)
	size := one.Stats().Bytes
	one.Close()

	t.Run("the least recently read run is evicted first", func(t *testing.T) {
		c := newTestCache(t, Config{MaxBytes: 3*size + size/2})
		for _, i := range []int{0, 1, 2, 0, 3} {
			get(t, c, i, small)
		}
		for i, isHeld := range []bool{true, false, true, true} {
			if _, ok := c.entries.Get(key(i)); ok != isHeld {
				t.Errorf("run %d is held: %t", i, ok)
			}
		}
		if got := c.Stats(); got.Runs != 3 || got.Bytes != 3*size {
			t.Errorf("stats %+v, want 3 runs of %d bytes", got, size)
		}
	})
	t.Run("a run above the limit is served, folded, and evicts no other", func(t *testing.T) {
		c := newTestCache(t, Config{MaxBytes: 4 * size})
		get(t, c, 0, small)
		got, _, err := tryRead(t.Context(), c, key(1), large)
		if err != nil || len(got) != 8000 {
			t.Fatalf("%d steps, %v", len(got), err)
		}
		_, isHeld := c.entries.Get(key(0))
		if got := c.Stats(); got.Runs != 2 || got.Bytes > 4*size || !isHeld {
			t.Errorf("stats %+v, want the small run and a digest", got)
		}
	})
	t.Run("a run in use is not dropped under its reader", func(t *testing.T) {
		c := newTestCache(t, Config{MaxBytes: 1})
		err := c.Read(t.Context(), key(0), small, func(v *View) error {
			get(t, c, 1, small)
			if v.Table.Rows() != 100 || c.Stats().Runs != 1 {
				t.Errorf("%d rows, %+v", v.Table.Rows(), c.Stats())
			}
			return nil
		})
		if err != nil || c.Stats() != (Stats{}) {
			t.Errorf("at last %+v, %v", c.Stats(), err)
		}
	})
	t.Run("runs that do not exist use no memory", func(t *testing.T) {
		c := newTestCache(t, Config{})
		for i := range 10 {
			if _, _, err := tryRead(t.Context(), c, key(i), &runsourcetest.FileSource{Deleted: true}); !errors.Is(err, runsource.ErrRunNotFound) {
				t.Fatal(err)
			}
		}
		if got := c.Stats(); got != (Stats{}) {
			t.Errorf("stats %+v", got)
		}
	})
}

// TestCache_Race runs writers, readers, canceled readers and evictions concurrently. Every
// read must see a prefix of the log.
func TestCache_Race(t *testing.T) {
	t.Run("of runs that fit", func(t *testing.T) { race(t, 60<<10) })
	t.Run("of runs that are folded", func(t *testing.T) { race(t, 20<<10) })
}

func race(t *testing.T, maxBytes int64) {
	t.Helper()
	const runs, readers, reads = 3, 8, 60
	c := newTestCache(t, Config{MaxBytes: maxBytes})
	var sources [runs]*runsourcetest.FileSource
	for i := range sources {
		sources[i] = &runsourcetest.FileSource{}
	}
	var busy sync.WaitGroup
	for _, src := range sources {
		busy.Go(func() {
			for step := range 300 {
				src.Append(runsourcetest.Lines(step, 1))
			}
		})
	}
	for range readers {
		busy.Go(func() {
			for n := range reads {
				i := rand.IntN(runs)
				ctx, cancel := context.WithCancel(t.Context())
				if n%5 == 4 {
					cancel()
				}
				got, _, err := tryRead(ctx, c, runsource.Key{RunID: strconv.Itoa(i)}, sources[i])
				cancel()
				switch {
				case err != nil && !errors.Is(err, context.Canceled):
					t.Error(err)
				case err == nil && !maps.Equal(got, upTo(len(got))):
					t.Errorf("read %v", got)
				}
			}
		})
	}
	busy.Wait()
	for i, src := range sources {
		if got, _, err := tryRead(t.Context(), c, runsource.Key{RunID: strconv.Itoa(i)}, src); err != nil || len(got) != 300 {
			t.Errorf("run %d ends with %d steps, %v", i, len(got), err)
		}
	}
}
