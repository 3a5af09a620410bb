package runsource

import (
	"context"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// The size of the read buffer: small for appended bytes, and large enough to parse a long
// history fast. A longer line makes it grow up to eventlog.MaxLine.
const (
	minChunk = 16 << 10
	maxChunk = 1 << 20
)

// ReadLines passes body to parse, chunk by chunk, until the body ends or parse fails. parse
// consumes complete lines and returns their length; the rest is passed again, before the
// bytes that follow. ReadLines returns what parse has not consumed: without an error, the
// bytes after the last newline. expected is the approximate length of body, negative if
// unknown.
func ReadLines(body io.Reader, expected int64, parse func(chunk []byte) (consumed int, err error)) (rest []byte, err error) {
	const slack = 512 // for detecting the end, and for unexpected bytes
	chunk := make([]byte, 0, slack+max(0, min(expected, minChunk)))
	for {
		n, err := readFull(body, chunk)
		chunk = chunk[:n]
		consumed, parseErr := parse(chunk)
		rest = chunk[consumed:]
		switch {
		case parseErr != nil:
			return rest, parseErr
		case err == io.EOF: //nolint:errorlint // unwrapped; wrapped it is a truncated body
			return rest, nil
		case err != nil:
			return rest, err
		}
		chunk = growBuffer(chunk, rest)
	}
}

// readFull reads into chunk[len(chunk):cap(chunk)] until it is full or the body ends.
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

// growBuffer returns a chunk that begins with rest and has free capacity.
func growBuffer(chunk, rest []byte) []byte {
	if cap(chunk) >= maxChunk && len(rest) <= cap(chunk)/2 {
		return chunk[:copy(chunk, rest)]
	}
	larger := make([]byte, len(rest), max(min(4*cap(chunk), maxChunk), 2*len(rest)))
	copy(larger, rest)
	return larger
}

// LastLineCounts reports whether the bytes after the last newline of an event file are a
// line: they are complete JSON and the run has ended. Incomplete JSON does not cost a read
// of the status.
func LastLineCounts(ctx context.Context, src Source, rest []byte, offset int64) (bool, error) {
	if len(rest) == 0 {
		return false, nil
	}
	var probe eventlog.Parser
	if complete, err := probe.Finish(rest, offset, eventlog.Handler{}); err != nil || !complete {
		return false, err
	}
	status, _, err := src.Status(ctx)
	return status.Terminal, err
}

// Compute runs work on that many bytes, through the gate unless they are few. work must not
// wait for anything.
func Compute(ctx context.Context, gate *cpugate.Gate, bytes int, work func() error) error {
	if bytes < 4*minChunk {
		return work()
	}
	return gate.Do(ctx, work)
}
