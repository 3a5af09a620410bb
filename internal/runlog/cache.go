package runlog

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"time"
)

// defaultBytes is the bound of a Cache that was given none.
const defaultBytes = 256 << 20

// CacheConfig is what a Cache may be told. The zero CacheConfig is fine.
type CacheConfig struct {
	// MaxBytes bounds the memory of all parsed runs together: 256 MiB if 0. A
	// run that is being read is never dropped: with many or large ones at once
	// the bound is exceeded until they have been answered.
	MaxBytes int64
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Key names a run of a Viewer.
type Key struct {
	// Viewer is the name of the Viewer, and RunID the run's id there.
	Viewer, RunID string
}

// Cache keeps parsed runs. It is safe for concurrent use. Make it with New and
// end it with Close.
type Cache struct {
	now      func() time.Time
	maxBytes int64
	ctx      context.Context //nolint:containedctx // ends with Close, and all flights with it
	cancel   context.CancelFunc
	inFlight sync.WaitGroup

	mu      sync.Mutex // guards what follows
	closed  bool
	entries map[Key]*entry
	recent  *list.List // of *entry, the most recently used in front
	bytes   int64
}

// entry is one run of the cache.
type entry struct {
	key     Key
	element *list.Element // guarded by Cache.mu, as are the next two
	refs    int           // readers and flights; what is in use is not dropped
	bytes   int64
	mu      sync.Mutex // guards flight and last
	flight  *flight    // the one that callers may join, nil if there is none
	last    *flight    // the one that was started last
	run     *run       // belongs to the flight in flight
}

// CacheStats is what a Cache holds.
type CacheStats struct {
	// Runs is the number of runs, and Bytes an estimate of their memory.
	Runs  int
	Bytes int64
}

// NewCache returns an empty cache.
func NewCache(cfg CacheConfig) *Cache {
	c := &Cache{
		now: cfg.Now, maxBytes: cmp.Or(cfg.MaxBytes, defaultBytes),
		entries: make(map[Key]*entry), recent: list.New(),
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Read brings the run up to date and calls use with it. Whoever else asks for
// the run meanwhile shares the update. The View and its Table are valid until
// use returns, and must not be changed; use must not wait for a slow reader of
// its own, or the run cannot be extended.
//
// Errors are those of the Source, an *eventlog.LineTooLongError, the context's,
// ErrCacheClosed, and those of use.
func (c *Cache) Read(ctx context.Context, key Key, src Source, use func(*View) error) error {
	e, err := c.acquire(key)
	if err != nil {
		return err
	}
	defer c.release(e)
	r, err := c.refresh(ctx, e, src)
	if err != nil {
		return err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return use(&r.view)
}

// Stats says what the cache holds.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{Runs: len(c.entries), Bytes: c.bytes}
}

// Close ends the updates in flight and waits for them. Read returns ErrCacheClosed
// from then on.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.inFlight.Wait()
}

// acquire finds or makes the entry of a run and keeps it from being dropped.
func (c *Cache) acquire(key Key) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrCacheClosed
	}
	e, ok := c.entries[key]
	if !ok {
		e = &entry{key: key}
		e.element = c.recent.PushFront(e)
		c.entries[key] = e
	}
	c.recent.MoveToFront(e.element)
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
		for at := c.recent.Back(); at != nil && c.bytes > c.maxBytes; {
			e := at.Value.(*entry) //nolint:errcheck // the list holds nothing else
			at = at.Prev()
			if e.refs == 0 && mayEvict(e) {
				c.drop(e)
			}
		}
	}
}

// drop forgets a run. Called with mu held.
func (c *Cache) drop(e *entry) {
	c.recent.Remove(e.element)
	delete(c.entries, e.key)
	c.bytes -= e.bytes
}
