package tensorboard

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a server in front of demo Viewers.
type harness struct {
	*servicetest.Harness
	client tensorboardpb.TensorBoardDataProviderClient
	server *Server
}

// lateConn is a connection to a server that is set after the server was created.
type lateConn struct{ grpc.ClientConnInterface }

func newHarness(t *testing.T, generations ...demotest.Generation) *harness {
	t.Helper()
	h, conn := &harness{}, &lateConn{}
	h.Harness = servicetest.New(t, servicetest.Setup{
		Viewer: servicetest.EmptyViewers,
		Register: func(r grpc.ServiceRegistrar, c servicetest.Config) {
			h.server = New(Config{Fleet: c.Fleet, Cache: c.Cache, Index: c.Index, Conn: conn})
			h.server.Register(r)
			service.Register(r, service.Config{Fleet: c.Fleet, Cache: c.Cache, Index: c.Index, Hub: c.Hub})
		},
	}, generations...)
	t.Cleanup(h.server.Close)
	conn.ClientConnInterface = h.Conn
	h.client = tensorboardpb.NewTensorBoardDataProviderClient(h.Conn)
	return h
}

// add adds a run to the first Viewer, and returns its name.
func (h *harness) add(path, status string, lines ...string) string {
	id := h.Upstreams[0].AddRun(demotest.Run{Path: path, Status: status, Events: []byte(strings.Join(lines, ""))})
	return path + " " + id
}

func pluginFilter(name string) *tensorboardpb.PluginFilter {
	return &tensorboardpb.PluginFilter{PluginName: name}
}

// filterOf selects runs and tags; nil selects all.
func filterOf(runs, tags []string) *tensorboardpb.RunTagFilter {
	f := &tensorboardpb.RunTagFilter{}
	if runs != nil {
		f.Runs = &tensorboardpb.NameFilter{Names: runs}
	}
	if tags != nil {
		f.Tags = &tensorboardpb.NameFilter{Names: tags}
	}
	return f
}

// scalars reads points as strings: run, tag, and step=value of each.
func (h *harness) scalars(ctx context.Context, t *testing.T, f *tensorboardpb.RunTagFilter, n int64) (texts []string) {
	t.Helper()
	resp, err := h.client.ReadScalars(ctx, &tensorboardpb.ReadScalarsRequest{
		PluginFilter: pluginFilter(pluginScalars), RunTagFilter: f, Downsample: &tensorboardpb.Downsample{NumPoints: n},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resp.GetRuns() {
		for _, tag := range r.GetTags() {
			words := []string{strings.Fields(r.GetRunName())[0], tag.GetTagName()}
			for i, step := range tag.GetData().GetStep() {
				words = append(words, fmt.Sprintf("%d=%v", step, tag.GetData().GetValue()[i]))
			}
			texts = append(texts, strings.Join(words, " "))
		}
	}
	return texts
}

// lists calls all List methods, and returns the number of runs in the responses.
func (h *harness) lists(t *testing.T, experiment string) (runs, scalars, texts int) {
	t.Helper()
	ctx := t.Context()
	r, err := h.client.ListRuns(ctx, &tensorboardpb.ListRunsRequest{ExperimentId: experiment})
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.client.ListScalars(ctx, &tensorboardpb.ListScalarsRequest{ExperimentId: experiment, PluginFilter: pluginFilter(pluginScalars)})
	if err != nil {
		t.Fatal(err)
	}
	x, err := h.client.ListTensors(ctx, &tensorboardpb.ListTensorsRequest{ExperimentId: experiment, PluginFilter: pluginFilter(pluginText)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.client.ListBlobSequences(ctx, &tensorboardpb.ListBlobSequencesRequest{ExperimentId: experiment, PluginFilter: pluginFilter(pluginImages)})
	if err != nil {
		t.Fatal(err)
	}
	return len(r.GetRuns()), len(s.GetRuns()), len(x.GetRuns())
}
