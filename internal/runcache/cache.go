// Package runcache caches parsed runs as merged tables, limited in bytes, and extends each
// by the bytes appended since the last read. It never polls.
//
// Read finds the run's entry, joins the update in flight for it or starts one, and then
// reads the table under a read lock. The Cache owns the update: it ends when it is done,
// when all its callers have left, or with Close.
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

// defaultBytes is the default of Config.MaxBytes.
const defaultBytes = 256 << 20

// Config configures a Cache. The zero Config is valid.
type Config struct {
	// MaxBytes limits the memory of all parsed runs together: 256 MiB if 0. A run that is
	// being read is never evicted, so many or large concurrent reads may exceed the limit
	// temporarily.
	MaxBytes int64
	// Gate limits concurrent parsing; nil does not.
	Gate *cpugate.Gate
}

// Cache caches parsed runs. It is safe for concurrent use. Create it with New and end it
// with Close.
type Cache struct {
	now      func() time.Time
	gate     *cpugate.Gate
	maxBytes int64
	updates  flight.Group[*entry, *run]
	logs     flight.Group[runsource.Key, *run] // reads of runs that are too large to be cached

	mu      sync.Mutex // guards the fields below
	closed  bool
	entries lru.Cache[runsource.Key, *entry]
	bytes   int64
}

// entry is one run in the cache.
type entry struct {
	key   runsource.Key
	refs  int   // readers and updates; an entry in use is not evicted; guarded by Cache.mu
	bytes int64 // likewise
	// updating is held by the update that may change run: an update that all callers have
	// left may still be ending when the next one starts.
	updating sync.Mutex
	run      *run
}

// Stats describes the contents of a Cache.
type Stats struct {
	// Runs is the number of runs, and Bytes their estimated memory.
	Runs  int
	Bytes int64
}

// New returns an empty cache.
func New(cfg Config) *Cache {
	c := &Cache{now: time.Now, gate: cfg.Gate, maxBytes: cmp.Or(cfg.MaxBytes, defaultBytes)}
	return c
}

// Read is ReadAny for callers that need the Table.
func (c *Cache) Read(ctx context.Context, key runsource.Key, src runsource.Source, use func(*View) error) error {
	return c.ReadAny(ctx, key, src, func(v *View) error {
		if v.Table == nil {
			return ErrNeedsTable
		}
		return use(v)
	})
}

// ReadAny updates the run and calls use with it. Concurrent callers share the update. The
// View and its contents are valid until use returns, and must not be changed. use must not
// wait for slow clients, because it blocks updates of the run.
//
// A run that is too large to be cached has a digest instead of a table. If the digest is
// not sufficient, use returns ErrNeedsTable: then the whole log is read, and use is called
// again.
//
// Errors are those of the Source, the context's, ErrClosed, and those of use.
func (c *Cache) ReadAny(ctx context.Context, key runsource.Key, src runsource.Source, use func(*View) error) error {
	return c.ReadSince(ctx, key, src, time.Time{}, use)
}

// ReadSince is ReadAny, but without an update if the cached run was read at or after since.
// A zero since always updates.
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

// read calls use with the run's read lock held.
func (r *run) read(use func(*View) error) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return use(&r.view)
}

// Stats returns the contents of the cache.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Runs: c.entries.Len(), Bytes: c.bytes}
}

// Close cancels the updates in flight and waits for them. Later reads return ErrClosed.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.updates.Close()
	c.logs.Close()
}

// acquire finds or creates the entry of a run and keeps it from being evicted.
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

// release ends a use of an entry and enforces the limit. An entry without a run is removed
// at once, so that ids that do not exist use no memory.
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

// refresh returns the cached run if it was read since a time, or the result of an update.
func (c *Cache) refresh(ctx context.Context, e *entry, src runsource.Source, since time.Time) (*run, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r := c.heldSince(e, since); r != nil {
		return r, nil
	}
	c.mu.Lock()
	e.refs++ // for the update
	c.mu.Unlock()
	call, started := c.updates.Join(ctx, e, func(ctx context.Context) (*run, error) {
		defer c.release(e) // before the update is done, so that the callers are the last users
		e.updating.Lock()
		defer e.updating.Unlock()
		return c.update(ctx, e, src)
	})
	if !started {
		c.release(e)
	}
	return call.Wait(ctx)
}

// heldSince returns the cached run if it was read at or after a time.
func (c *Cache) heldSince(e *entry, since time.Time) *run {
	if since.IsZero() || !e.updating.TryLock() {
		return nil // the update in flight has a newer result
	}
	defer e.updating.Unlock()
	if e.run == nil || e.run.view.ReadTime.Before(since) {
		return nil
	}
	return e.run
}

// update updates the entry's run, one update at a time. If it is canceled, what was read so
// far is kept.
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

// read updates the run from its log, or else from its table.
func (u *updater) read(ctx context.Context) error {
	err := u.readEvents(ctx)
	if errors.Is(err, runsource.ErrNotServed) {
		err = u.readMerged(ctx)
	}
	return err
}

// setSize records the size of a run after an update.
func (c *Cache) setSize(e *entry, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += bytes - e.bytes
	e.bytes = bytes
}

// evict enforces the limit: it removes first the runs that exceed the limit by themselves,
// which would evict all others in vain, then the least recently read ones. c.mu must be
// held.
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

// drop removes a run. c.mu must be held.
func (c *Cache) drop(e *entry) {
	c.entries.Remove(e.key)
	c.bytes -= e.bytes
}

var (
	// ErrClosed is the error after Close.
	ErrClosed = flight.ErrClosed
	// ErrNeedsTable is returned by a reader for which the digest is not sufficient.
	ErrNeedsTable = errors.New("the digest of the run is not sufficient")
)
