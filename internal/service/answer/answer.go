// Package answer bounds the size of answers, and says what to ask for instead of
// one that is too large.
package answer

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// MaxSize bounds a unary answer with points. Clients refuse messages beyond
// 4 MiB by default, and JSON makes points three times as large.
const MaxSize = 3 << 20

// CheckSize refuses an answer that is too large after all.
func CheckSize[M proto.Message](m M) (M, error) {
	if proto.Size(m) > MaxSize {
		var none M
		return none, TooLarge()
	}
	return m, nil
}

// MaxMessage is the largest message of the contract that this server sends: what clients
// accept by default.
const MaxMessage = 4 << 20

// CheckMessage refuses an answer that could not be sent, before grpc-go does so
// without saying what to do. It is for what has no bound of its own, such as a
// summary.
func CheckMessage(resp any) error {
	m, ok := resp.(proto.Message)
	if !ok || !IsBounded(m) || proto.Size(m) <= MaxMessage {
		return nil
	}
	const instead = "view EXPERIMENT_VIEW_BASIC, or a smaller page_size"
	return &apierr.Error{
		Code:     codes.ResourceExhausted,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_ANSWER_TOO_LARGE,
		Message:  "the answer would be larger than 4 MiB; instead, use " + instead,
		Metadata: map[string]string{"instead": instead},
	}
}

// IsBounded says whether MaxMessage is for a message: it is of the contract, and not of a
// protocol whose clients accept more.
func IsBounded(m proto.Message) bool {
	return m.ProtoReflect().Descriptor().ParentFile().Package() == runicornapiv1.File_runicornapi_v1_value_proto.Package()
}

// PartTooLarge is why a part of an item of a list is missing.
func PartTooLarge(part string) error {
	return &apierr.Error{
		Code:     codes.ResourceExhausted,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_ANSWER_TOO_LARGE,
		Message:  "with its " + part + " the item would be larger than 3 MiB",
		Metadata: map[string]string{"field": part},
	}
}

// TooLarge is the error of an answer that would have to be truncated.
func TooLarge() error {
	const instead = "StreamMetrics, or fewer metrics, a range of steps, downsample, limit or last"
	return &apierr.Error{
		Code:     codes.ResourceExhausted,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_ANSWER_TOO_LARGE,
		Message:  "the answer would be larger than 3 MiB; instead, use " + instead,
		Metadata: map[string]string{"instead": instead},
	}
}

// Framing is what an item takes besides its own bytes: its tag and its length.
const Framing = 6

// CountFitting is how many of the items fit into a message of so many bytes, and one
// at least: a page may have fewer than were asked for, but it cannot be empty and
// have another one behind it.
func CountFitting[M proto.Message](items []M, maxBytes int) int {
	for i, item := range items {
		if maxBytes -= proto.Size(item) + Framing; maxBytes < 0 && i > 0 {
			return i
		}
	}
	return len(items)
}
