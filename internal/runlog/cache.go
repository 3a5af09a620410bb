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

// Config is what a Cache may be told. The zero Config is fine.
type Config struct {
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
	now    func() time.Time
	max    int64
	ctx    context.Context //nolint:containedctx // ends with Close, and all flights with it
	cancel context.CancelFunc
	flying sync.WaitGroup

	mu       sync.Mutex // guards what follows
	isClosed bool
	entries  map[Key]*entry
	recent   *list.List // of *entry, the most recently used in front
	bytes    int64
}

// entry is one run of the cache.
type entry struct {
	key    Key
	place  *list.Element // guarded by Cache.mu, as are the next two
	users  int           // readers and flights; what is in use is not dropped
	bytes  int64
	mu     sync.Mutex // guards flight and last
	flight *flight    // the one that callers may join, nil if there is none
	last   *flight    // the one that was launched last
	run    *run       // belongs to the flight that is in the air
}

// Stats is what a Cache holds.
type Stats struct {
	// Runs is the number of runs, and Bytes an estimate of their memory.
	Runs  int
	Bytes int64
}

// New returns an empty cache.
func New(cfg Config) *Cache {
	c := &Cache{
		now: cfg.Now, max: cmp.Or(cfg.MaxBytes, defaultBytes),
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
// ErrClosed, and those of use.
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
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Runs: len(c.entries), Bytes: c.bytes}
}

// Close ends the updates in flight and waits for them. Read returns ErrClosed
// from then on.
func (c *Cache) Close() {
	c.mu.Lock()
	c.isClosed = true
	c.mu.Unlock()
	c.cancel()
	c.flying.Wait()
}

// acquire finds or makes the entry of a run and keeps it from being dropped.
func (c *Cache) acquire(key Key) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosed {
		return nil, ErrClosed
	}
	e, ok := c.entries[key]
	if !ok {
		e = &entry{key: key}
		e.place = c.recent.PushFront(e)
		c.entries[key] = e
	}
	c.recent.MoveToFront(e.place)
	e.users++
	return e, nil
}

// release is the end of a use. The last one looks at the bound. An entry that
// holds no run goes at once, so that ids that do not exist leave nothing behind.
func (c *Cache) release(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.users--; e.users > 0 {
		return
	}
	if e.bytes == 0 {
		c.drop(e)
	}
	c.evict()
}

// account notes the size of a run after an update.
func (c *Cache) account(e *entry, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += bytes - e.bytes
	e.bytes = bytes
}

// evict drops runs until the bound is kept: first those that are above it by
// themselves, which would push out all others in vain, then those that nobody
// has read for the longest time. Called with mu held.
func (c *Cache) evict() {
	isOver := func(e *entry) bool { return e.bytes > c.max }
	isAny := func(*entry) bool { return true }
	for _, isVictim := range []func(*entry) bool{isOver, isAny} {
		for at := c.recent.Back(); at != nil && c.bytes > c.max; {
			e := at.Value.(*entry) //nolint:errcheck // the list holds nothing else
			at = at.Prev()
			if e.users == 0 && isVictim(e) {
				c.drop(e)
			}
		}
	}
}

// drop forgets a run. Called with mu held.
func (c *Cache) drop(e *entry) {
	c.recent.Remove(e.place)
	delete(c.entries, e.key)
	c.bytes -= e.bytes
}
