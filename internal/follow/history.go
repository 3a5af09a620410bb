package follow

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/runicorn-grpc/runicorn-grpc/internal/flight"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/lru"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

const (
	// chunkBytes is the size of a chunk of history. It is large, because each chunk costs
	// the Viewer a request.
	chunkBytes = 1 << 20
	// chunkLookBehind is how much is read before a chunk, to identify the previous line,
	// and chunkLookAhead how much after it, for the end of its last line.
	chunkLookBehind = 4 << 10
	chunkLookAhead  = 64 << 10
	// chunkLines is the chunk size of a log stream, which can only be read from its
	// beginning.
	chunkLines = 1 << 16
)

// chunkKey identifies a chunk: the lines that begin in [index, index+1) times the chunk
// size.
type chunkKey struct {
	journal *journal
	epoch   int
	index   int64
}

// chunk is a parsed part of history.
type chunk struct {
	key     chunkKey
	batches []*logbatch.Batch
	to      int64 // end of its last line
	bytes   atomic.Int64
}

// chunkRead is the read of a chunk, shared by all cursors that wait for it.
type chunkRead = flight.Call[chunkKey, *chunk]

// history shares chunks among late cursors: it caches the most recently read ones, limited
// in bytes, and reads each chunk once for all. It is safe for concurrent use.
type history struct {
	maxBytes int64
	bytes    atomic.Int64
	reads    flight.Group[chunkKey, *chunk]

	mu     sync.Mutex // guards the fields below; never held while locking a journal
	chunks lru.Cache[chunkKey, *chunk]
}

// join joins the read of a chunk. The read is already done if the cached chunk reaches
// beyond offset; otherwise the chunk is read up to limit, which is the end of a line. The
// caller must Leave a read that it does not wait for.
func (h *history) join(key chunkKey, offset, limit int64) *chunkRead {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.chunks.Get(key); ok && c.to > offset {
		return flight.Done(key, c, nil)
	}
	read, _ := h.reads.Join(key.journal.ctx, key, func(ctx context.Context) (*chunk, error) {
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		defer context.AfterFunc(key.journal.ctx, cancel)()
		c, err := key.journal.readChunk(ctx, key, limit)
		if err == nil {
			h.keep(c)
		}
		return c, err
	})
	return read
}

// keep caches a chunk, and evicts the least recently used ones.
func (h *history) keep(c *chunk) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.key.journal.ctx.Err() != nil {
		return
	}
	if old, ok := h.chunks.Get(c.key); ok {
		h.drop(old)
	}
	h.chunks.Put(c.key, c)
	for _, b := range c.batches {
		b.Retain(&h.bytes, &c.bytes)
	}
	for _, oldest := range h.chunks.Oldest {
		if h.bytes.Load() <= h.maxBytes || h.chunks.Len() == 1 {
			return
		}
		h.drop(oldest)
	}
}

// drop removes a chunk. h.mu must be held.
func (h *history) drop(c *chunk) {
	h.chunks.Remove(c.key)
	for _, b := range c.batches {
		b.Release()
	}
}

// purge removes the chunks of a journal.
func (h *history) purge(j *journal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, c := range h.chunks.Oldest {
		if key.journal == j {
			h.drop(c)
		}
	}
}

// readChunk reads the lines that begin in a chunk and before limit, which is the end of a
// line that the poller has read.
func (j *journal) readChunk(ctx context.Context, key chunkKey, limit int64) (*chunk, error) {
	c := &chunk{key: key}
	j.mu.RLock()
	at := runsource.Position{Origin: j.origin, FirstLine: j.high.FirstLine}
	j.mu.RUnlock()
	batcher := logbatch.NewBatcher(j.key.textLog, at, func(b *logbatch.Batch) { c.batches = append(c.batches, b) })
	if at.Origin == runsource.FromLogStream {
		return c, j.readLines(ctx, c, batcher, limit)
	}
	begin := key.index * chunkBytes
	batcher.End = min(begin+chunkBytes, limit)
	r := &rangeReader{
		read: j.source.read, at: max(0, begin-chunkLookBehind), ahead: batcher.End + chunkLookAhead, limit: limit,
	}
	base, positioned := r.at, begin == 0
	err := r.readLines(ctx, func(chunk []byte) (consumed int, err error) {
		if !positioned {
			var prevLine runsource.LineFingerprint
			consumed, prevLine, positioned = seekLine(chunk, base, begin)
			base += int64(consumed)
			if !positioned {
				return consumed, nil
			}
			batcher.Start(base, prevLine)
		}
		n, err := batcher.AddChunk(chunk[consumed:])
		if err == nil && batcher.IsDone() {
			err = errStop
		}
		return consumed + n, err
	}, func(rest []byte) error {
		if !positioned {
			return runsource.ErrLogReplaced // the poller has seen the end of a line there
		}
		complete, err := batcher.AddLastLine(rest)
		if err != nil || !complete {
			return errors.Join(runsource.ErrLogReplaced, err) // it was a line for the poller
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	batcher.Flush()
	c.to = batcher.At.Offset
	return c, nil
}

// seekLine finds the first line of a chunk that begins at an offset or later, and the
// fingerprint of the previous line if that is in the chunk. Without a line end in the
// chunk, found is false and the chunk is skipped.
func seekLine(chunk []byte, base, begin int64) (at int, prevLine runsource.LineFingerprint, found bool) {
	skip := int(max(begin-1-base, 0))
	n := -1
	if skip < len(chunk) {
		n = bytes.IndexByte(chunk[skip:], '\n')
	}
	if n < 0 {
		if len(chunk) >= chunkBytes {
			at = len(chunk)
		}
		return at, prevLine, false
	}
	end := skip + n
	if before := bytes.LastIndexByte(chunk[:end], '\n'); before >= 0 || base == 0 {
		prevLine = runsource.FingerprintLine(chunk[before+1 : end])
	}
	return end + 1, prevLine, true
}

// rangeReader reads a log by ranges, up to a limit.
type rangeReader struct {
	read  runsource.ReadFunc
	at    int64 // start of the next piece
	ahead int64 // everything up to here is probably needed
	limit int64 // end of the data to read
}

// readLines passes the log to parse until parse fails, and the rest before the limit to
// parseLast. It reads a piece only after the previous one was parsed.
func (r *rangeReader) readLines(ctx context.Context, parse func(chunk []byte) (int, error), parseLast func(rest []byte) error) error {
	var rest []byte
	for r.at < r.limit {
		piece, err := r.readPiece(ctx)
		if err != nil {
			return err
		}
		all := io.MultiReader(bytes.NewReader(rest), bytes.NewReader(piece))
		if rest, err = runsource.ReadLines(all, int64(len(piece)), parse); err != nil {
			return err
		}
	}
	return parseLast(rest)
}

// readPiece reads the next piece.
func (r *rangeReader) readPiece(ctx context.Context) (piece []byte, err error) {
	piece = make([]byte, min(max(r.ahead-r.at, chunkBytes), r.limit-r.at))
	part, err := r.read(ctx, r.at, int64(len(piece)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	if part.State != restclient.FileRanged || part.Size >= 0 && part.Size < r.limit {
		return nil, runsource.ErrLogReplaced
	}
	r.at += int64(len(piece))
	_, err = io.ReadFull(part, piece)
	return piece, err
}
