package main

import (
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

// TestTensorBoard_GetsLargerMessagesThanOthers: its responses pass at a size at which
// those of other services are refused.
func TestTensorBoard_GetsLargerMessagesThanOthers(t *testing.T) {
	viewer, err := demotest.New(demotest.Config{Empty: true})
	if err != nil {
		t.Fatal(err)
	}
	id := viewer.AddBigRun(200_000)
	upstream := httptest.NewServer(viewer)
	defer upstream.Close()
	p := start(t, "--viewer="+upstream.URL)
	conn := p.dial(t, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20)))
	board := tensorboardpb.NewTensorBoardDataProviderClient(conn)
	points, err := board.ReadScalars(t.Context(), &tensorboardpb.ReadScalarsRequest{
		PluginFilter: &tensorboardpb.PluginFilter{PluginName: "scalars"}, Downsample: &tensorboardpb.Downsample{NumPoints: 100_000},
	})
	if err != nil || proto.Size(points) < 4<<20 {
		t.Errorf("%d bytes, %v", proto.Size(points), err)
	}
	if _, err = runicornapiv1.NewMetricServiceClient(conn).GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{RunId: id}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("GetMetrics: %v", err)
	}
}

func TestTensorBoard_CanBeDisabled(t *testing.T) {
	p := start(t, "--demo", "--disable-tensorboard")
	_, err := tensorboardpb.NewTensorBoardDataProviderClient(p.dial(t)).ListPlugins(t.Context(), &tensorboardpb.ListPluginsRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
}

// TestTensorBoard_RequiresATokenIfOtherCallsDo of the role read.
func TestTensorBoard_RequiresATokenIfOtherCallsDo(t *testing.T) {
	p := start(t, "--demo", "--auth-token-file="+file(t, "tokens", "read "+readToken+"\n"))
	_, err := tensorboardpb.NewTensorBoardDataProviderClient(p.dial(t)).ListPlugins(t.Context(), &tensorboardpb.ListPluginsRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
}
