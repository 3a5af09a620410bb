package restclient

import "sync"

// boundedMap caches values by run id. It is cleared when it is full.
type boundedMap[V any] struct {
	limit int // maximum number of values

	mu    sync.Mutex
	known map[string]V
}

func (k *boundedMap[V]) get(runID string) (V, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.known[runID]
	return v, ok
}

func (k *boundedMap[V]) put(runID string, v V) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || len(k.known) >= k.limit {
		k.known = make(map[string]V)
	}
	k.known[runID] = v
}

func (k *boundedMap[V]) forget(runID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, runID)
}

func (k *boundedMap[V]) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known = nil
}
