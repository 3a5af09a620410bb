package restclient

import "sync"

// versioned caches the last value read from a Viewer, and whether it was invalidated since.
type versioned[T any] struct {
	mu      sync.Mutex
	last    *T
	version int // number of invalidations
	of      int // the version of last
}

// get returns the last value, or nil, and whether it is still valid.
func (k *versioned[T]) get() (last *T, current bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last, k.version == k.of
}

// now returns the version for a read that starts now.
func (k *versioned[T]) now() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.version
}

// put stores a value whose read started at a version, and returns the previous one.
func (k *versioned[T]) put(v *T, of int) (previous *T) {
	k.mu.Lock()
	defer k.mu.Unlock()
	previous = k.last
	k.last, k.of = v, of
	return previous
}

// invalidate makes the cached value, and reads in flight, outdated.
func (k *versioned[T]) invalidate() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.version++
}
