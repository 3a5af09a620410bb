package wire

import (
	"bytes"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"
)

// lenient is a codec that marks messages that it cannot decode. gRPC itself answers an
// error of a codec, before any interceptor and without a reason.
type lenient struct{ encoding.CodecV2 }

// Lenient makes a codec lenient: the receiver of a message must check IsUndecodable.
func Lenient(codec encoding.CodecV2) encoding.CodecV2 { return lenient{codec} }

// undecodable is an unknown field with a number that no message uses.
var undecodable = protowire.AppendString(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.BytesType), "undecodable")

// Unmarshal decodes a message. If that fails, the message is empty except for the mark.
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

// IsUndecodable reports whether a message could not be decoded.
func IsUndecodable(m protobuf.Message) bool {
	return bytes.Equal(m.ProtoReflect().GetUnknown(), undecodable)
}
