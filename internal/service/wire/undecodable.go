package wire

import (
	"bytes"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"
)

// lenient is a codec that marks a message that it cannot decode. gRPC answers
// an error of a codec itself, without a reason, before any interceptor.
type lenient struct{ encoding.CodecV2 }

// Lenient makes a codec lenient: whoever receives a message asks IsUndecodable.
func Lenient(codec encoding.CodecV2) encoding.CodecV2 { return lenient{codec} }

// undecodable is an unknown field of a number that no message has.
var undecodable = protowire.AppendString(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.BytesType), "undecodable")

// Unmarshal reads a message, or makes it an empty one with a mark.
func (c lenient) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	m, ok := v.(protobuf.Message)
	if err == nil || !ok {
		return err
	}
	protobuf.Reset(m)
	m.ProtoReflect().SetUnknown(undecodable)
	return nil
}

// IsUndecodable reports whether a message stands for bytes that are none.
func IsUndecodable(m protobuf.Message) bool {
	return bytes.Equal(m.ProtoReflect().GetUnknown(), undecodable)
}
