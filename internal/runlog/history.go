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
	// chunkLookBehind is read before a chunk, to know the line before it by, and
	// chunkLookAhead behind it, for the end of its last line.
	chunkLookBehind = 4 << 10
	chunkLookAhead  = 64 << 10
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
	maxBytes int64
	bytes    atomic.Int64

	mu       sync.Mutex // guards what follows; no journal's is taken while it is held
	chunks   map[chunkKey]*list.Element
	recent   *list.List // of *chunk, the most recently used in front
	inFlight map[chunkKey]*chunkFlight
}

// chunkFlight is one read of a chunk, shared by all who wait for it. The last one
// who leaves ends it.
type chunkFlight struct {
	cancel  context.CancelFunc
	waiters int // guarded by history.mu
	done    chan struct{}
	chunk   *chunk
	err     error
}

func newHistory(limit int64) *history {
	return &history{
		maxBytes: limit, chunks: make(map[chunkKey]*list.Element), recent: list.New(),
		inFlight: make(map[chunkKey]*chunkFlight),
	}
}

// join shares the read of a chunk, which is done already if the chunk
// is there and reaches beyond an offset; else it is read as far as limit, which is
// the end of a line. Whoever does not wait for the read leaves.
func (h *history) join(key chunkKey, offset, limit int64) *chunkFlight {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.chunks[key]; ok {
		if c := e.Value.(*chunk); c.to > offset { //nolint:errcheck // the list holds nothing else
			h.recent.MoveToFront(e)
			return finishedFlight(c)
		}
	}
	f, ok := h.inFlight[key]
	if !ok {
		f = h.start(key, limit)
	}
	f.waiters++
	return f
}

// finishedFlight is a flight that is over.
func finishedFlight(c *chunk) *chunkFlight {
	f := &chunkFlight{cancel: func() {}, done: make(chan struct{}), chunk: c}
	close(f.done)
	return f
}

// start starts the read of a chunk; called with mu held.
func (h *history) start(key chunkKey, limit int64) *chunkFlight {
	ctx, cancel := context.WithTimeout(key.journal.ctx, pollTimeout)
	f := &chunkFlight{cancel: cancel, done: make(chan struct{})}
	spawned := key.journal.hub.spawn(func() {
		defer cancel()
		f.chunk, f.err = key.journal.readChunk(ctx, key, limit)
		h.finish(f, key)
	})
	if !spawned {
		cancel()
		f.err = ErrHubClosed
		close(f.done)
		return f
	}
	h.inFlight[key] = f
	return f
}

func (h *history) leave(key chunkKey, f *chunkFlight) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if h.inFlight[key] == f {
		delete(h.inFlight, key) // a newcomer must not join a read that is dying
	}
}

// finish publishes a chunk, and drops those that were not used for the longest time.
func (h *history) finish(f *chunkFlight, key chunkKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer close(f.done)
	if h.inFlight[key] == f {
		delete(h.inFlight, key)
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
	for h.bytes.Load() > h.maxBytes && h.recent.Len() > 1 {
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
	at := Position{origin: j.origin, firstLine: j.high.firstLine}
	j.mu.RUnlock()
	emit := func(b *Batch) { c.batches = append(c.batches, b) }
	if at.origin == FromLogStream {
		return c, j.readLines(ctx, c, at, limit, emit)
	}
	begin := key.index * chunkBytes
	r := &chunkReader{
		read: j.source.read, at: max(0, begin-chunkLookBehind), end: min(begin+chunkBytes, limit), limit: limit,
	}
	at.offset = begin
	if begin > 0 {
		offset, last, err := r.seek(ctx, begin)
		if err != nil {
			return nil, err
		}
		at.offset, at.prevLine = offset, last
	}
	batcher := newBatcher(j.key.textLog, at, emit)
	batcher.end = r.end
	err := r.readInto(ctx, batcher)
	c.to = batcher.at.offset
	return c, err
}

// chunkReader reads a log piece by piece.
type chunkReader struct {
	read  readPartFunc
	at    int64 // where the next piece begins
	end   int64 // lines that begin here or later are not wanted
	limit int64 // there is nothing to read beyond
	rest  []byte
}

// readMore reads the next piece behind what is left of the last.
func (r *chunkReader) readMore(ctx context.Context) (err error) {
	size := min(max(r.end+chunkLookAhead-r.at, chunkBytes), r.limit-r.at)
	if size <= 0 {
		return errLogReplaced // the poller has seen the end of a line there
	}
	part, err := r.read(ctx, r.at, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Body.Close()) }()
	if part.State != PartRanged || part.Size >= 0 && part.Size < r.limit {
		return errLogReplaced
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
func (r *chunkReader) seek(ctx context.Context, begin int64) (offset int64, last lineFingerprint, err error) {
	skip := begin - 1 - r.at
	fromStart := r.at == 0
	for {
		if err := r.readMore(ctx); err != nil {
			return 0, last, err
		}
		n := bytes.IndexByte(r.rest[skip:], '\n')
		if n < 0 { // the line is longer than a chunk
			r.rest, skip, fromStart = r.rest[:0], 0, false
			continue
		}
		end := int(skip) + n
		if before := bytes.LastIndexByte(r.rest[:end], '\n'); before >= 0 || fromStart {
			last = fingerprintLine(r.rest[before+1 : end])
		}
		offset = r.at - int64(len(r.rest)) + int64(end) + 1
		r.rest = r.rest[end+1:]
		return offset, last, nil
	}
}

// readInto gives the wanted lines to the batcher.
func (r *chunkReader) readInto(ctx context.Context, b *batcher) error {
	for {
		consumed, err := b.addChunk(r.rest)
		r.rest = r.rest[consumed:]
		if err != nil {
			return err
		}
		if b.at.offset >= r.end && !b.overlong {
			b.flush()
			return nil
		}
		if r.at < r.limit {
			err = r.readMore(ctx)
		} else if complete, finishErr := b.addLastLine(r.rest); finishErr != nil || !complete {
			err = errors.Join(errLogReplaced, finishErr) // the poller took it for a line
		}
		if err != nil {
			return err
		}
	}
}
