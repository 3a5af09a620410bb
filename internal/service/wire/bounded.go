package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// bounded is a codec that refuses to encode messages that are too large.
type bounded struct {
	encoding.CodecV2
	maxBytes int
	isExempt func(any) bool
}

// Bounded makes a codec refuse messages of more than maxBytes, except those for which
// isExempt is true. gRPC has only one limit for all services of a server.
func Bounded(codec encoding.CodecV2, maxBytes int, isExempt func(any) bool) encoding.CodecV2 {
	return bounded{codec, maxBytes, isExempt}
}

// Marshal returns the wire form of a message.
func (c bounded) Marshal(v any) (mem.BufferSlice, error) {
	data, err := c.CodecV2.Marshal(v)
	if err == nil && data.Len() > c.maxBytes && !c.isExempt(v) {
		err = fmt.Errorf("a message of %d bytes is larger than the %d that clients accept", data.Len(), c.maxBytes)
		data.Free()
		return nil, err
	}
	return data, err
}
