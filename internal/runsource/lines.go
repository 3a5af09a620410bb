package runsource

import (
	"context"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// How much of a log is held at once: little for what was appended since, and enough
// for fast parsing of a long history. A longer line makes it grow up to
// eventlog.MaxLine.
const (
	minChunk = 16 << 10
	maxChunk = 1 << 20
)

// ReadLines gives what comes of body to parse, chunk by chunk, until the body ends
// or parse fails. Parse takes the complete lines and says how many bytes they had;
// the rest comes again, in front of what follows. ReadLines returns what parse has
// not taken: without an error, what stands behind the last newline. About so many
// bytes are expected, fewer than none if nobody knows.
func ReadLines(body io.Reader, expected int64, parse func(chunk []byte) (consumed int, err error)) (rest []byte, err error) {
	const slack = 512 // room for the end to show, and for what was not expected
	chunk := make([]byte, 0, slack+max(0, min(expected, minChunk)))
	for {
		n, err := readFull(body, chunk)
		chunk = chunk[:n]
		consumed, parseErr := parse(chunk)
		rest = chunk[consumed:]
		switch {
		case parseErr != nil:
			return rest, parseErr
		case err == io.EOF: //nolint:errorlint // a Reader returns io.EOF itself; wrapped it is a body that was cut
			return rest, nil
		case err != nil:
			return rest, err
		}
		chunk = growBuffer(chunk, rest)
	}
}

// readFull reads behind what is in chunk until it is full or the body ends.
func readFull(body io.Reader, chunk []byte) (int, error) {
	n := len(chunk)
	for n < cap(chunk) {
		more, err := body.Read(chunk[n:cap(chunk)])
		n += more
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// growBuffer is a chunk that begins with rest and has room for more.
func growBuffer(chunk, rest []byte) []byte {
	if cap(chunk) >= maxChunk && len(rest) <= cap(chunk)/2 {
		return chunk[:copy(chunk, rest)]
	}
	larger := make([]byte, len(rest), max(min(4*cap(chunk), maxChunk), 2*len(rest)))
	copy(larger, rest)
	return larger
}

// LastLineCounts says whether what stands behind the last newline of an event file
// counts: it does if it is complete and nothing will follow. A half line costs no
// question.
func LastLineCounts(ctx context.Context, src Source, rest []byte, offset int64) (bool, error) {
	if len(rest) == 0 {
		return false, nil
	}
	var probe eventlog.Parser
	if complete, err := probe.Finish(rest, offset, eventlog.Handler{}); err != nil || !complete {
		return false, err
	}
	return src.HasEnded(ctx)
}

// Compute does what is to be computed of so many bytes, long work when its turn at the
// gate has come: the parsing of a few lines is not long. Work must wait for nothing.
func Compute(ctx context.Context, gate *cpugate.Gate, bytes int, work func() error) error {
	if bytes < 4*minChunk {
		return work()
	}
	return gate.Do(ctx, work)
}
