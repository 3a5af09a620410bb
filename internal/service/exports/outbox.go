package exports

import (
	"bytes"
	"context"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
)

// outboxBytes is the size in bytes at which an outbox is full.
const outboxBytes = 128 << 10

// outbox is a buffer between the writer of a file and its client. It holds what a step of
// computing writes until the step has left the CPU gate, so that the gate is not held
// while a client is slow. It belongs to one goroutine.
type outbox struct {
	ctx       context.Context //nolint:containedctx // an outbox ends with its call
	gate      *cpugate.Gate
	to        io.Writer
	held      bytes.Buffer
	computing bool
}

// Write buffers what a step writes, and passes on what is written between steps.
func (o *outbox) Write(b []byte) (int, error) {
	if o.computing {
		return o.held.Write(b)
	}
	return o.to.Write(b)
}

// full reports whether the current step should end.
func (o *outbox) full() bool { return o.held.Len() >= outboxBytes }

// compute runs a step of computing, then passes on what the step has written, even if it
// failed.
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
			return writeErr // rather than the step's error: without the client there is no next step
		}
	}
	return err
}
