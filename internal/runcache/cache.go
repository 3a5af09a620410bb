// Package runcache keeps parsed runs as merged tables, bounded in bytes, and extends each
// by the bytes that were appended since; it never polls.
//
// The way of a call: Read finds the run's entry, joins the one update that is
// in flight for it or starts it, and then reads the table under a read lock.
// The update belongs to the Cache, not to a caller: it ends when it is done, when
// all its callers have left, or with Close.
package runcache

import (
	"cmp"
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/flight"
	"github.com/runicorn-grpc/runicorn-grpc/internal/lru"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// defaultBytes is the bound of a Cache that was given none.
const defaultBytes = 256 << 20

// Config is what a Cache may be told. The zero Config is fine.
type Config struct {
	// MaxBytes bounds the memory of all parsed runs together: 256 MiB if 0. A
	// run that is being read is never dropped: with many or large ones at once
	// the bound is exceeded until they have been answered.
	MaxBytes int64
	// Gate bounds parsing; nil does not.
	Gate *cpugate.Gate
}

// Cache keeps parsed runs. It is safe for concurrent use. Make it with New and
// end it with Close.
type Cache struct {
	now      func() time.Time
	gate     *cpugate.Gate
	maxBytes int64
	updates  flight.Group[*entry, *run]
	logs     flight.Group[runsource.Key, *run] // reads of runs that are too large to be kept

	mu      sync.Mutex // guards what follows
	closed  bool
	entries lru.Cache[runsource.Key, *entry]
	bytes   int64
}

// entry is one run of the cache.
type entry struct {
	key   runsource.Key
	refs  int   // readers and updates; what is in use is not dropped; guarded by Cache.mu
	bytes int64 // likewise
	// updating is held by the one update that may change run: one that all callers
	// have left may still be dying when the next one starts.
	updating sync.Mutex
	run      *run
}

// Stats is what a Cache holds.
type Stats struct {
	// Runs is the number of runs, and Bytes an estimate of their memory.
	Runs  int
	Bytes int64
}

// New returns an empty cache.
func New(cfg Config) *Cache {
	c := &Cache{now: time.Now, gate: cfg.Gate, maxBytes: cmp.Or(cfg.MaxBytes, defaultBytes)}
	return c
}

// Read is ReadAny for those who need the Table.
func (c *Cache) Read(ctx context.Context, key runsource.Key, src runsource.Source, use func(*View) error) error {
	return c.ReadAny(ctx, key, src, func(v *View) error {
		if v.Table == nil {
			return ErrNeedsTable
		}
		return use(v)
	})
}

// ReadAny brings the run up to date and calls use with it. Whoever else asks for
// the run meanwhile shares the update. The View and what is in it are valid until
// use returns, and must not be changed; use must not wait for a slow reader of
// its own, or the run cannot be extended.
//
// Of a run that is too large to be kept there is a digest. If that does not do, use
// returns ErrNeedsTable: then the whole log is read, and use is called once more.
//
// Errors are those of the Source, the context's,
// ErrClosed, and those of use.
func (c *Cache) ReadAny(ctx context.Context, key runsource.Key, src runsource.Source, use func(*View) error) error {
	return c.ReadSince(ctx, key, src, time.Time{}, use)
}

// ReadSince is ReadAny, but of a run that was read at or after a time that is not zero
// use gets what is held: the Viewer is not asked.
func (c *Cache) ReadSince(ctx context.Context, key runsource.Key, src runsource.Source, since time.Time, use func(*View) error) error {
	e, err := c.acquire(key)
	if err != nil {
		return err
	}
	defer c.release(e)
	r, err := c.refresh(ctx, e, src, since)
	if err != nil {
		return err
	}
	if err := r.read(use); !errors.Is(err, ErrNeedsTable) {
		return err
	}
	r, err = c.logs.Do(ctx, key, func(ctx context.Context) (*run, error) {
		u := &updater{gate: c.gate, src: src, now: c.now, maxBytes: math.MaxInt64, maxFinal: math.MaxInt64}
		err := u.read(ctx)
		return u.run, err
	})
	if err != nil {
		return err
	}
	return r.read(use)
}

// read lets a reader use the run.
func (r *run) read(use func(*View) error) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return use(&r.view)
}

// Stats says what the cache holds.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Runs: c.entries.Len(), Bytes: c.bytes}
}

// Close ends the updates in flight and waits for them. Read returns ErrClosed
// from then on.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.updates.Close()
	c.logs.Close()
}

// acquire finds or makes the entry of a run and keeps it from being dropped.
func (c *Cache) acquire(key runsource.Key) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	e, ok := c.entries.Get(key)
	if !ok {
		e = &entry{key: key}
		c.entries.Put(key, e)
	}
	e.refs++
	return e, nil
}

// release is the end of a use. The last one checks the bound. An entry that
// holds no run goes at once, so that ids that do not exist leave nothing behind.
func (c *Cache) release(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.refs--; e.refs > 0 {
		return
	}
	if e.bytes == 0 {
		c.drop(e)
	}
	c.evict()
}

// retain keeps an entry that is in use already from being dropped.
func (c *Cache) retain(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.refs++
}

// refresh returns the run as it is held, if it was read since a time, or else as an
// update that was in flight or starts now leaves it.
func (c *Cache) refresh(ctx context.Context, e *entry, src runsource.Source, since time.Time) (*run, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r := c.heldSince(e, since); r != nil {
		return r, nil
	}
	c.retain(e) // for the update
	call, started := c.updates.Join(ctx, e, func(ctx context.Context) (*run, error) {
		defer c.release(e) // before it is done: the callers are the last to go
		e.updating.Lock()
		defer e.updating.Unlock()
		return c.update(ctx, e, src)
	})
	if !started {
		c.release(e)
	}
	return call.Wait(ctx)
}

// heldSince returns the run that is held, if all that was there at a time is in it.
func (c *Cache) heldSince(e *entry, since time.Time) *run {
	if since.IsZero() || !e.updating.TryLock() {
		return nil // an update is in flight: its result is newer still
	}
	defer e.updating.Unlock()
	if e.run == nil || e.run.view.ReadTime.Before(since) {
		return nil
	}
	return e.run
}

// update brings the entry's run up to date, one update at a time. What was read of a run
// when it is canceled is kept.
func (c *Cache) update(ctx context.Context, e *entry, src runsource.Source) (*run, error) {
	if e.run != nil && c.now().Before(e.run.freshUntil) {
		return e.run, nil
	}
	u := &updater{gate: c.gate, src: src, now: c.now, run: e.run, maxBytes: c.maxBytes, maxFinal: c.maxBytes}
	err := u.read(ctx)
	if e.run = u.run; errors.Is(err, runsource.ErrRunNotFound) {
		e.run = nil
	}
	if e.run == nil {
		c.setSize(e, 0)
		return nil, err
	}
	c.setSize(e, e.run.bytes())
	if err != nil {
		return nil, err
	}
	return e.run, nil
}

// read brings the run up to date from its log, or else from its table.
func (u *updater) read(ctx context.Context) error {
	err := u.readEvents(ctx)
	if errors.Is(err, runsource.ErrNotServed) {
		err = u.readMerged(ctx)
	}
	return err
}

// setSize notes the size of a run after an update.
func (c *Cache) setSize(e *entry, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += bytes - e.bytes
	e.bytes = bytes
}

// evict drops runs until the bound is kept: first those that are above it by
// themselves, which would push out all others in vain, then those that nobody
// has read for the longest time. Called with mu held.
func (c *Cache) evict() {
	isOversized := func(e *entry) bool { return e.bytes > c.maxBytes }
	isAny := func(*entry) bool { return true }
	for _, mayEvict := range []func(*entry) bool{isOversized, isAny} {
		for _, e := range c.entries.Oldest {
			if c.bytes <= c.maxBytes {
				return
			}
			if e.refs == 0 && mayEvict(e) {
				c.drop(e)
			}
		}
	}
}

// drop forgets a run. Called with mu held.
func (c *Cache) drop(e *entry) {
	c.entries.Remove(e.key)
	c.bytes -= e.bytes
}

var (
	// ErrClosed says that the Cache was closed.
	ErrClosed = flight.ErrClosed
	// ErrNeedsTable is what a reader returns that the digest of a run does not do for.
	ErrNeedsTable = errors.New("the digest of the run does not say it")
)
