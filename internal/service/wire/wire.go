// Package wire sends messages in their wire form, which many streams may share.
package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"
)

// Encoded is a message in its wire form, in two parts: what all receivers of a
// batch have in common, encoded once and shared by all of them, and the few
// bytes that are one stream's own. Fields of protobuf messages may stand in any
// order, so one part behind the other is the message.
//
// A grpc.PreparedMsg would not do: it can carry nothing of its own, and it is
// compressed or not once and for all, whatever the next stream has agreed on.
type Encoded struct {
	shared, own []byte
}

// Whole is a message all of which is shared.
func Whole(shared []byte) *Encoded { return &Encoded{shared: shared} }

// WithToken is a shared message of a tail with the token of one stream.
func WithToken(shared []byte, text string) *Encoded {
	const tokenField = 1 // resume_token of TailMetricsResponse and of TailLogsResponse
	own := protowire.AppendTag(make([]byte, 0, len(text)+4), tokenField, protowire.BytesType)
	return &Encoded{shared: shared, own: protowire.AppendString(own, text)}
}

// Codec is the codec of our server: protobuf's, which also knows Encoded. The
// parts go out as they are, uncopied; compression is each stream's own.
type Codec struct {
	encoding.CodecV2
}

// NewCodec returns the codec, for grpc.ForceServerCodecV2. A server without it
// cannot send batches of points.
func NewCodec() Codec { return Codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal reads a request. What the contract does not know of it is not kept: a
// stream holds its request for as long as it lives.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(protobuf.Message)
	if !ok {
		return fmt.Errorf("a request of type %T is no protobuf message", v)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	return protobuf.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(buffer.ReadOnlyData(), m)
}

// Marshal returns the wire form of a message.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	if e, ok := v.(*Encoded); ok {
		if len(e.shared) == 0 {
			return mem.BufferSlice{mem.SliceBuffer(e.own)}, nil
		}
		return mem.BufferSlice{mem.SliceBuffer(e.shared), mem.SliceBuffer(e.own)}, nil
	}
	return c.CodecV2.Marshal(v)
}
