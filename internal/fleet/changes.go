package fleet

import "sync"

// changes notifies waiters that the set of tunneled Viewers has changed.
type changes struct {
	mu   sync.Mutex
	next chan struct{}
}

// Changed returns a channel that is closed at the next change of the set of tunneled
// Viewers.
func (f *Fleet) Changed() <-chan struct{} {
	f.changes.mu.Lock()
	defer f.changes.mu.Unlock()
	if f.changes.next == nil {
		f.changes.next = make(chan struct{})
	}
	return f.changes.next
}

func (c *changes) notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}
