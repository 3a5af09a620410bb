package exports

import (
	"errors"
	"sync"
)

// tempSpace bounds the temporary files of a process. It is safe for concurrent
// use.
type tempSpace struct {
	mu        sync.Mutex
	used, max int64
	// makeRoom closes a file that is not needed, if there is one.
	makeRoom func() bool
}

// reserve takes space, or says that there is none.
func (t *tempSpace) reserve(bytes int64) error {
	if t == nil {
		return nil
	}
	for {
		t.mu.Lock()
		fits := t.used+bytes <= t.max
		if fits {
			t.used += bytes
		}
		t.mu.Unlock()
		if fits {
			return nil
		}
		if t.makeRoom == nil || !t.makeRoom() {
			return spoolError(errTempSpace)
		}
	}
}

var errTempSpace = errors.New("the temporary files of all exports are at their limit")

func (t *tempSpace) release(bytes int64) {
	if t != nil {
		t.mu.Lock()
		t.used -= bytes
		t.mu.Unlock()
	}
}
