// Package answer bounds the size of response messages, and makes the errors that name a
// smaller request instead.
package answer

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// MaxSize is the maximum size in bytes of a unary response with points. Clients refuse
// messages beyond 4 MiB by default, and the JSON of points is three times as large.
const MaxSize = 3 << 20

// CheckSize returns TooLarge for a response of more than MaxSize bytes.
func CheckSize[M proto.Message](m M) (M, error) {
	if proto.Size(m) > MaxSize {
		var none M
		return none, TooLarge()
	}
	return m, nil
}

// MaxMessage is the maximum size in bytes of the messages of the contract that this
// server sends: the default limit of gRPC clients.
const MaxMessage = 4 << 20

// CheckMessage refuses a response of more than MaxMessage bytes. The client would refuse
// it too, but its error would not name a smaller request. It covers responses that have
// no bound of their own, such as a summary.
func CheckMessage(resp any) error {
	m, ok := resp.(proto.Message)
	if !ok || !IsBounded(m) || proto.Size(m) <= MaxMessage {
		return nil
	}
	const instead = "view EXPERIMENT_VIEW_BASIC, or a smaller page_size"
	return tooLarge("the response would be larger than 4 MiB; instead, use "+instead, "instead", instead)
}

// tooLarge is an error with one entry of metadata.
func tooLarge(message, key, value string) error {
	return &apierr.Error{
		Code:     codes.ResourceExhausted,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_ANSWER_TOO_LARGE,
		Message:  message,
		Metadata: map[string]string{key: value},
	}
}

// IsBounded reports whether MaxMessage applies to a message. It applies to messages of
// the contract, not to those of other protocols, whose clients accept more.
func IsBounded(m proto.Message) bool {
	return m.ProtoReflect().Descriptor().ParentFile().Package() == runicornapiv1.File_runicornapi_v1_value_proto.Package()
}

// PartTooLarge is the error of a part that was left out of a list item.
func PartTooLarge(part string) error {
	return tooLarge("with its "+part+" the item would be larger than 3 MiB", "field", part)
}

// TooLarge is the error of a response that would have to be truncated.
func TooLarge() error {
	const instead = "StreamMetrics, or fewer metrics, a range of steps, downsample, limit or last"
	return tooLarge("the response would be larger than 3 MiB; instead, use "+instead, "instead", instead)
}

// Framing is the overhead of a list item in bytes: its tag and its length.
const Framing = 6

// CountFitting returns how many of the items fit into maxBytes, and at least 1. A page
// may have fewer items than requested, but an empty page must not be followed by another
// one.
func CountFitting[M proto.Message](items []M, maxBytes int) int {
	for i, item := range items {
		if maxBytes -= proto.Size(item) + Framing; maxBytes < 0 && i > 0 {
			return i
		}
	}
	return len(items)
}
