package httpapi

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// marshalOptions are the options for the JSON of all responses: the names of the
// contract, and always the fields without presence. So users of curl and jq get [] for an
// empty list and 0 for a count (`jq '.experiments[]'` fails on an absent list), and only
// unknown messages and optional fields are absent. Emitting those as null would be
// redundant.
//
// 64-bit integers are strings, and so are NaN, Infinity and -Infinity within arrays of
// numbers: that is protobuf's JSON.
var marshalOptions = protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}

// ndjsonMarshaler encodes unary responses, and streams as one line of JSON per message.
// grpc-gateway passes one of three values: a map with "result" (a message of a stream), a
// map with "error" (its end), or anything else (a unary response).
type ndjsonMarshaler struct {
	runtime.JSONPb
	compute func(work func() error) error
}

func newNDJSONMarshaler(compute func(work func() error) error) *ndjsonMarshaler {
	return &ndjsonMarshaler{JSONPb: runtime.JSONPb{MarshalOptions: marshalOptions}, compute: compute}
}

// largeMessage is the size in bytes from which on encoding a message is treated as long
// work.
const largeMessage = 16 << 10

// toJSON makes the JSON of a message.
func (m *ndjsonMarshaler) toJSON(v any) (text []byte, err error) {
	if msg, ok := v.(proto.Message); !ok || proto.Size(msg) < largeMessage {
		return m.JSONPb.Marshal(v)
	}
	err = m.compute(func() (err error) {
		text, err = m.JSONPb.Marshal(v)
		return err
	})
	return text, err
}

// Marshal returns a message of a stream without a newline, or a unary response with one,
// for terminals.
func (m *ndjsonMarshaler) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case map[string]any:
		return keepDigits(m.toJSON(v["result"]))
	case map[string]proto.Message:
		return marshalError(streamError(v))
	}
	text, err := keepDigits(m.toJSON(v))
	return append(text, '\n'), err
}

// StreamContentType is the media type of a stream.
func (*ndjsonMarshaler) StreamContentType(any) string { return mediaLines }

// sseMarshaler encodes a stream as server-sent events, one per message. The id of an
// event is the resume token, which a browser sends back as Last-Event-ID; its name is
// that of the message's case, such as batch, heartbeat or end. The error that ends a
// stream is the event "status", because EventSource itself fires "error" when the
// connection drops.
type sseMarshaler struct {
	ndjsonMarshaler
}

// resumable is a message after which a stream can be resumed.
type resumable interface{ GetResumeToken() string }

// Marshal returns one event without the empty line that ends it.
func (m *sseMarshaler) Marshal(v any) ([]byte, error) {
	text, err := m.ndjsonMarshaler.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	switch v := v.(type) {
	case map[string]any:
		writeEventHead(&out, v["result"])
	case map[string]proto.Message:
		out.WriteString("event: status\n")
		if wait := retryAfter(streamError(v)); wait > 0 {
			fmt.Fprintf(&out, "retry: %d\n", wait.Milliseconds())
		}
	default:
		return text, nil
	}
	out.WriteString("data: ")
	out.Write(text)
	return out.Bytes(), nil
}

// writeEventHead writes id and name. After a message without a token the browser keeps
// its last id.
func writeEventHead(out *bytes.Buffer, v any) {
	if r, ok := v.(resumable); ok {
		if token := r.GetResumeToken(); token != "" && !strings.ContainsAny(token, "\r\n\x00") {
			out.WriteString("id: " + token + "\n")
		}
	}
	if m, ok := v.(proto.Message); ok {
		if name := eventName(m); name != "" {
			out.WriteString("event: " + name + "\n")
		}
	}
}

// StreamContentType is the media type of a stream.
func (*sseMarshaler) StreamContentType(any) string { return mediaEvents }

// Delimiter ends an event.
func (*sseMarshaler) Delimiter() []byte { return []byte("\n\n") }

// eventName returns which case of its oneof a message holds; empty if none.
func eventName(m proto.Message) string {
	r := m.ProtoReflect()
	oneofs := r.Descriptor().Oneofs()
	for i := range oneofs.Len() {
		if o := oneofs.Get(i); !o.IsSynthetic() {
			if f := r.WhichOneof(o); f != nil {
				return string(f.Name())
			}
		}
	}
	return ""
}

// streamError returns the status in grpc-gateway's shape of a stream's error.
func streamError(v map[string]proto.Message) *spb.Status {
	st, _ := v["error"].(*spb.Status)
	return st
}

// contentTypeOf returns the media type of a stream by its form.
func contentTypeOf(asEvents bool) string {
	if asEvents {
		return mediaEvents
	}
	return mediaLines
}
