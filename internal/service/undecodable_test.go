package service

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

// rawCodec sends bytes as they are, and reads nothing.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

// TestUndecodableRequestsHaveAReason sends what is no protobuf, and text that is no
// UTF-8, to a unary method and to a stream.
func TestUndecodableRequestsHaveAReason(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	for name, request := range map[string][]byte{
		"no protobuf": {0xff, 0xff, 0xff}, "a field that is cut": {0x0a, 0x10, 'x'}, "text that is no UTF-8": {0x0a, 0x01, 0xff},
	} {
		err := h.Conn.Invoke(t.Context(), runicornapiv1.ExperimentService_GetExperiment_FullMethodName, request, nil, grpc.ForceCodecV2(rawCodec{}))
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
		stream, err := h.Conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true},
			runicornapiv1.ExperimentService_ExportExperiment_FullMethodName, grpc.ForceCodecV2(rawCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMsg(request); err != nil {
			t.Fatal(err)
		}
		apierrtest.WantError(t, stream.RecvMsg(nil), codes.InvalidArgument, "INVALID_REQUEST")
	}
}
