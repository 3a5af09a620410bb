package tensorboard

import (
	"cmp"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/lru"
)

// defaultBytes bounds a store that was given no bound.
const defaultBytes = 64 << 20

// storeKey is what is kept of a run: the tags of a plugin, with so many points.
type storeKey struct {
	viewer, runID, plugin string
	points                int
}

// stored is something that was made of a run. It is immutable and shared.
type stored struct {
	version uint64    // of the run in the list, for which it is valid
	expires time.Time // zero: as long as the version is the same
	tags    []tag
	seen    time.Time // of a run that has ended: when that was in the list first
}

// store keeps what was made of runs, bounded in bytes.
type store struct {
	maxBytes int64

	mu    sync.Mutex // guards what follows
	kept  lru.Cache[storeKey, stored]
	bytes int64
}

func newStore(maxBytes int64) *store { return &store{maxBytes: cmp.Or(maxBytes, defaultBytes)} }

// get returns what is valid for a version of a run.
func (s *store) get(key storeKey, version uint64, now time.Time) (stored, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.kept.Get(key)
	return v, ok && v.version == version && (v.expires.IsZero() || now.Before(v.expires))
}

func (s *store) put(key storeKey, v stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
	s.kept.Put(key, v)
	s.bytes += v.bytes(key)
	for key := range s.kept.Oldest {
		if s.bytes <= s.maxBytes {
			return
		}
		s.remove(key)
	}
}

// remove forgets what there is of a key. Called with mu held.
func (s *store) remove(key storeKey) {
	if v, ok := s.kept.Get(key); ok {
		s.kept.Remove(key)
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

// seenEnded returns when a run that has ended was in the list as it is first: what was
// read of it since then is all that there is.
func (s *store) seenEnded(r *run) time.Time {
	key, version := storeKey{viewer: r.Viewer.Name, runID: r.Listed.ID}, r.Version()
	if v, ok := s.get(key, version, time.Time{}); ok {
		return v.seen
	}
	s.put(key, stored{version: version, seen: r.listed})
	return r.listed
}

// forgetEnded forgets that a run has ended: 0.5.3 says so of a running one for a moment,
// while the SDK writes its status.
func (s *store) forgetEnded(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(storeKey{viewer: r.Viewer.Name, runID: r.Listed.ID})
}
