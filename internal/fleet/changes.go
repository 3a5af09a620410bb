package fleet

import "sync"

// changes tells whoever waits that the tunneled Viewers are others now.
type changes struct {
	mu   sync.Mutex
	next chan struct{}
}

// Changed returns a channel that is closed when the next tunneled Viewer comes
// or goes.
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
