package tensorboard

import (
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/lru"
)

// maxBytes bounds the memory of a store.
const maxBytes = 64 << 20

// storeKey identifies the tags of one plugin and run, with a number of points. The key of
// seenEnded has a Viewer and a run only.
type storeKey struct {
	viewer, runID, plugin string
	points                int
}

// stored is a cached value. It is immutable and shared.
type stored struct {
	version uint64    // of the run in the list; the value is valid for no other version
	expires time.Time // zero: valid as long as the version is the same
	tags    []tag
	seen    time.Time // for seenEnded: the time that it returns
}

// store is an LRU cache of tags, bounded in bytes.
type store struct {
	mu      sync.Mutex // guards the following fields
	entries lru.Cache[storeKey, stored]
	bytes   int64
}

// get returns a value that is valid for a version of a run.
func (s *store) get(key storeKey, version uint64, now time.Time) (stored, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.entries.Get(key)
	return v, ok && v.version == version && (v.expires.IsZero() || now.Before(v.expires))
}

func (s *store) put(key storeKey, v stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
	s.entries.Put(key, v)
	s.bytes += v.bytes(key)
	for key := range s.entries.Oldest {
		if s.bytes <= maxBytes {
			return
		}
		s.remove(key)
	}
}

// remove removes a key. Called with mu held.
func (s *store) remove(key storeKey) {
	if v, ok := s.entries.Get(key); ok {
		s.entries.Remove(key)
		s.bytes -= v.bytes(key)
	}
}

// bytes estimates the memory of an entry.
func (v *stored) bytes(key storeKey) int64 {
	const overhead = 256
	n := int64(overhead + len(key.viewer) + len(key.runID))
	for i := range v.tags {
		n += v.tags[i].bytes()
	}
	return n
}

// seenEnded returns the time of the first list that had the current entry of an ended run:
// data that was read after it is complete.
func (s *store) seenEnded(r *run) time.Time {
	key, version := storeKey{viewer: r.Viewer.Name, runID: r.Listed.ID}, r.Version()
	if v, ok := s.get(key, version, time.Time{}); ok {
		return v.seen
	}
	s.put(key, stored{version: version, seen: r.listed})
	return r.listed
}

// removeEnded drops the time of seenEnded for a run that is running again: 0.5.3 reports a
// running run as ended for a moment while the SDK writes its status.
func (s *store) removeEnded(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(storeKey{viewer: r.Viewer.Name, runID: r.Listed.ID})
}
