package restclient

import "sync"

// versioned holds the last of what a Viewer said of one thing, and whether that may
// have changed since.
type versioned[T any] struct {
	mu      sync.Mutex
	last    *T
	version int // how often it was invalidated
	of      int // the version of last
}

// get returns the last value, nil if there is none, and whether it is current.
func (k *versioned[T]) get() (last *T, current bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last, k.version == k.of
}

// now is the version of what is asked for from now on.
func (k *versioned[T]) now() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.version
}

// put stores a value that was asked for at a version, and returns the one before.
func (k *versioned[T]) put(v *T, of int) (previous *T) {
	k.mu.Lock()
	defer k.mu.Unlock()
	previous = k.last
	k.last, k.of = v, of
	return previous
}

// invalidate says that what is known, or asked for at this moment, may have changed.
func (k *versioned[T]) invalidate() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.version++
}
