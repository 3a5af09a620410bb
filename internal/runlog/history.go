package runlog

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

const (
	// chunkBytes is how much of a log one chunk of history has: large, since
	// each costs the Viewer a request.
	chunkBytes = 1 << 20
	// chunkLead is read before a chunk, to know the line before it by, and
	// chunkRest behind it, for the end of its last line.
	chunkLead = 4 << 10
	chunkRest = 64 << 10
	// chunkLines is the size of a chunk of a log that is no file: it can be read
	// from its beginning only.
	chunkLines = 1 << 16
)

// chunkKey names a chunk: that with the lines which begin in [index, index+1)
// times its size.
type chunkKey struct {
	journal *journal
	epoch   int
	index   int64
}

// chunk is a piece of history, parsed.
type chunk struct {
	key     chunkKey
	batches []*Batch
	to      int64 // the end of its last line
	bytes   atomic.Int64
}

// history shares what late cursors read: the chunks that were read last, bounded
// in bytes, and one read of a chunk for all who want it. It is safe for concurrent
// use.
type history struct {
	max   int64
	bytes atomic.Int64

	mu      sync.Mutex // guards what follows; no journal's is taken while it is held
	chunks  map[chunkKey]*list.Element
	recent  *list.List // of *chunk, the most recently used in front
	flights map[chunkKey]*chunkFlight
}

// chunkFlight is one read of a chunk, shared by all who wait for it. The last one
// who leaves ends it.
type chunkFlight struct {
	cancel context.CancelFunc
	users  int // guarded by history.mu
	landed chan struct{}
	chunk  *chunk
	err    error
}

func newHistory(limit int64) *history {
	return &history{
		max: limit, chunks: make(map[chunkKey]*list.Element), recent: list.New(),
		flights: make(map[chunkKey]*chunkFlight),
	}
}

// join takes a place in the read of a chunk, which has landed already if the chunk
// is there and reaches beyond an offset; else it is read as far as limit, which is
// the end of a line. Whoever does not wait for the landing leaves.
func (h *history) join(key chunkKey, offset, limit int64) *chunkFlight {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.chunks[key]; ok {
		if c := e.Value.(*chunk); c.to > offset { //nolint:errcheck // the list holds nothing else
			h.recent.MoveToFront(e)
			return landedWith(c)
		}
	}
	f, ok := h.flights[key]
	if !ok {
		f = h.launch(key, limit)
	}
	f.users++
	return f
}

// landedWith is a flight that is over.
func landedWith(c *chunk) *chunkFlight {
	f := &chunkFlight{cancel: func() {}, landed: make(chan struct{}), chunk: c}
	close(f.landed)
	return f
}

// launch starts the read of a chunk; called with mu held.
func (h *history) launch(key chunkKey, limit int64) *chunkFlight {
	ctx, cancel := context.WithTimeout(key.journal.ctx, pollTimeout)
	f := &chunkFlight{cancel: cancel, landed: make(chan struct{})}
	isSpawned := key.journal.hub.spawn(func() {
		defer cancel()
		f.chunk, f.err = key.journal.readChunk(ctx, key, limit)
		h.land(f, key)
	})
	if !isSpawned {
		cancel()
		f.err = ErrHubClosed
		close(f.landed)
		return f
	}
	h.flights[key] = f
	return f
}

func (h *history) leave(key chunkKey, f *chunkFlight) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.users--; f.users > 0 {
		return
	}
	f.cancel()
	if h.flights[key] == f {
		delete(h.flights, key) // a newcomer must not join a read that is dying
	}
}

// land publishes a chunk, and drops those that were not used for the longest time.
func (h *history) land(f *chunkFlight, key chunkKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer close(f.landed)
	if h.flights[key] == f {
		delete(h.flights, key)
	}
	if f.err != nil || key.journal.ctx.Err() != nil {
		return
	}
	if old, ok := h.chunks[key]; ok {
		h.drop(old)
	}
	h.chunks[key] = h.recent.PushFront(f.chunk)
	for _, b := range f.chunk.batches {
		b.retain(&h.bytes, &f.chunk.bytes)
	}
	for h.bytes.Load() > h.max && h.recent.Len() > 1 {
		h.drop(h.recent.Back())
	}
}

// drop forgets a chunk; called with mu held.
func (h *history) drop(e *list.Element) {
	c := e.Value.(*chunk) //nolint:errcheck // the list holds nothing else
	h.recent.Remove(e)
	delete(h.chunks, c.key)
	for _, b := range c.batches {
		b.release()
	}
}

// purge forgets the chunks of a journal.
func (h *history) purge(j *journal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for e := h.recent.Front(); e != nil; {
		after := e.Next()
		if e.Value.(*chunk).key.journal == j { //nolint:errcheck // the list holds nothing else
			h.drop(e)
		}
		e = after
	}
}

// readChunk reads the lines that begin in a chunk and before limit, which is the
// end of a line that the poller has read.
func (j *journal) readChunk(ctx context.Context, key chunkKey, limit int64) (*chunk, error) {
	c := &chunk{key: key}
	j.mu.RLock()
	at := Position{origin: j.origin, first: j.high.first}
	j.mu.RUnlock()
	emit := func(b *Batch) { c.batches = append(c.batches, b) }
	if at.origin == FromLogStream {
		return c, j.readLines(ctx, c, at, limit, emit)
	}
	begin := key.index * chunkBytes
	r := &chunkReader{
		read: j.feed.read, at: max(0, begin-chunkLead), end: min(begin+chunkBytes, limit), limit: limit,
	}
	at.offset = begin
	if begin > 0 {
		offset, last, err := r.seek(ctx, begin)
		if err != nil {
			return nil, err
		}
		at.offset, at.last = offset, last
	}
	cutter := newCutter(j.key.isText, at, emit)
	cutter.until = r.end
	err := r.feed(ctx, cutter)
	c.to = cutter.at.offset
	return c, err
}

// chunkReader reads a log piece by piece.
type chunkReader struct {
	read  readPart
	at    int64 // where the next piece begins
	end   int64 // lines that begin here or later are not wanted
	limit int64 // there is nothing to read beyond
	rest  []byte
}

// more reads the next piece behind what is left of the last.
func (r *chunkReader) more(ctx context.Context) (err error) {
	size := min(max(r.end+chunkRest-r.at, chunkBytes), r.limit-r.at)
	if size <= 0 {
		return errOtherLog // the poller has seen the end of a line there
	}
	part, err := r.read(ctx, r.at, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Body.Close()) }()
	if part.State != PartRanged || part.Size >= 0 && part.Size < r.limit {
		return errOtherLog
	}
	n := len(r.rest)
	r.rest = append(r.rest, make([]byte, size)...)
	if _, err := io.ReadFull(part.Body, r.rest[n:]); err != nil {
		return err
	}
	r.at += size
	return nil
}

// seek finds the first line that begins at an offset or later, and the sum of the
// line before if that was read.
func (r *chunkReader) seek(ctx context.Context, begin int64) (offset int64, last lineSum, err error) {
	skip := begin - 1 - r.at
	isWhole := r.at == 0
	for {
		if err := r.more(ctx); err != nil {
			return 0, last, err
		}
		n := bytes.IndexByte(r.rest[skip:], '\n')
		if n < 0 { // the line is longer than a chunk
			r.rest, skip, isWhole = r.rest[:0], 0, false
			continue
		}
		end := int(skip) + n
		if before := bytes.LastIndexByte(r.rest[:end], '\n'); before >= 0 || isWhole {
			last = sumLine(r.rest[before+1 : end])
		}
		offset = r.at - int64(len(r.rest)) + int64(end) + 1
		r.rest = r.rest[end+1:]
		return offset, last, nil
	}
}

// feed gives the wanted lines to the cutter.
func (r *chunkReader) feed(ctx context.Context, c *cutter) error {
	for {
		taken, err := c.feed(r.rest)
		r.rest = r.rest[taken:]
		if err != nil {
			return err
		}
		if c.at.offset >= r.end && !c.isLong {
			c.flush()
			return nil
		}
		if r.at < r.limit {
			err = r.more(ctx)
		} else if isWhole, finishErr := c.finish(r.rest); finishErr != nil || !isWhole {
			err = errors.Join(errOtherLog, finishErr) // the poller took it for a line
		}
		if err != nil {
			return err
		}
	}
}
