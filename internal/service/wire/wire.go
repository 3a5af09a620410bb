// Package wire sends encoded messages, which many streams may share.
package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"
)

// Encoded is an encoded message in two parts: the part that all receivers of a batch
// share, encoded once, and a few bytes for one stream. The fields of a protobuf message
// may have any order, so the concatenation of both parts is the message.
//
// A grpc.PreparedMsg would not do: it has no part for one stream, and it is compressed or
// not regardless of what each stream has negotiated.
type Encoded struct {
	shared, own []byte
}

// Whole returns a message that is shared as a whole.
func Whole(shared []byte) *Encoded { return &Encoded{shared: shared} }

// WithToken returns a shared message of a tail with the resume token of one stream.
func WithToken(shared []byte, text string) *Encoded {
	const tokenField = 1 // resume_token of TailMetricsResponse and of TailLogsResponse
	own := protowire.AppendTag(make([]byte, 0, len(text)+4), tokenField, protowire.BytesType)
	return &Encoded{shared: shared, own: protowire.AppendString(own, text)}
}

// Codec is the codec of the server: protobuf's, which also accepts Encoded. The parts are
// not copied; compression is negotiated per stream.
type Codec struct {
	encoding.CodecV2
}

// NewCodec returns the codec, for grpc.ForceServerCodecV2. A server without it
// cannot send batches of points.
func NewCodec() Codec { return Codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal decodes a request. Unknown fields are dropped: a stream holds its request for
// as long as it lives.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(protobuf.Message)
	if !ok {
		return fmt.Errorf("a request of type %T is not a protobuf message", v)
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
