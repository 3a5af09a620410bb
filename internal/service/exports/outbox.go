package exports

import (
	"bytes"
	"context"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
)

// outboxBytes is how much an outbox holds when it is full.
const outboxBytes = 128 << 10

// outbox stands between the writer of a file and its client. What a piece of computing
// writes is held until the piece has left the gate, so that nobody holds the gate while
// a client is waited for. It belongs to one goroutine.
type outbox struct {
	ctx       context.Context //nolint:containedctx // an outbox ends with its call
	gate      *cpugate.Gate
	to        io.Writer
	held      bytes.Buffer
	computing bool
}

// Write holds what a piece writes, and passes on what is written between the pieces.
func (o *outbox) Write(b []byte) (int, error) {
	if o.computing {
		return o.held.Write(b)
	}
	return o.to.Write(b)
}

// full reports whether the piece at hand should end.
func (o *outbox) full() bool { return o.held.Len() >= outboxBytes }

// compute does a piece of computing, and then writes what it has written, even if the
// piece failed.
func (o *outbox) compute(work func() error) error {
	err := o.gate.Do(o.ctx, func() error {
		o.computing = true
		defer func() { o.computing = false }()
		return work()
	})
	if o.held.Len() > 0 {
		_, writeErr := o.to.Write(o.held.Bytes())
		o.held.Reset()
		if writeErr != nil {
			return writeErr // and not the piece's: whatever it needs next, it is over
		}
	}
	return err
}
