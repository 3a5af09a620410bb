package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// fake is a server whose responses a test defines.
type fake struct {
	runicornapiv1.UnimplementedMetricServiceServer
	runicornapiv1.UnimplementedExperimentServiceServer

	tail     func(call int, req *runicornapiv1.TailMetricsRequest, s grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]) error
	tailLogs func(call int, req *runicornapiv1.TailLogsRequest, s grpc.ServerStreamingServer[runicornapiv1.TailLogsResponse]) error
	history  func(call int, s grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]) error
	export   func(call int, req *runicornapiv1.ExportExperimentRequest, s grpc.ServerStreamingServer[runicornapiv1.ExportExperimentResponse]) error
	list     func(call int, req *runicornapiv1.ListExperimentsRequest) (*runicornapiv1.ListExperimentsResponse, error)
	delete   func() error

	mu          sync.Mutex
	calls       int
	connections int
}

// count numbers the calls from 1.
func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	return f.calls
}

func (f *fake) TailMetrics(req *runicornapiv1.TailMetricsRequest, s grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]) error {
	return f.tail(f.count(), req, s)
}

func (f *fake) TailLogs(req *runicornapiv1.TailLogsRequest, s grpc.ServerStreamingServer[runicornapiv1.TailLogsResponse]) error {
	return f.tailLogs(f.count(), req, s)
}

func (f *fake) StreamMetrics(_ *runicornapiv1.StreamMetricsRequest, s grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]) error {
	return f.history(f.count(), s)
}

func (f *fake) ExportExperiment(req *runicornapiv1.ExportExperimentRequest, s grpc.ServerStreamingServer[runicornapiv1.ExportExperimentResponse]) error {
	return f.export(f.count(), req, s)
}

func (f *fake) ListExperiments(_ context.Context, req *runicornapiv1.ListExperimentsRequest) (*runicornapiv1.ListExperimentsResponse, error) {
	return f.list(f.count(), req)
}

func (f *fake) DeleteExperiments(context.Context, *runicornapiv1.DeleteExperimentsRequest) (*runicornapiv1.DeleteExperimentsResponse, error) {
	f.count()
	return nil, f.delete()
}

// withFake runs a test with a fake server and a fake clock.
func withFake(t *testing.T, f *fake, test func(t *testing.T, c *Client), options ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		listener := bufconn.Listen(1 << 16)
		server := grpc.NewServer()
		runicornapiv1.RegisterMetricServiceServer(server, f)
		runicornapiv1.RegisterExperimentServiceServer(server, f)
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := server.Serve(listener); err != nil {
				t.Error(err)
			}
		})
		dial := func(ctx context.Context, _ string) (net.Conn, error) {
			f.mu.Lock()
			f.connections++
			f.mu.Unlock()
			return listener.DialContext(ctx)
		}
		c, err := New("passthrough:///fake", append(options, WithDialOptions(grpc.WithContextDialer(dial)))...)
		if err != nil {
			t.Fatal(err)
		}
		test(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		serving.Wait()
	})
}

// ours returns an error with a reason, as of the server.
func ours(code codes.Code, reason string, more ...*errdetails.RetryInfo) error {
	st, err := status.New(code, "said").WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: Domain, Metadata: map[string]string{"viewer": "a"}})
	for _, info := range more {
		st, err = st.WithDetails(info)
	}
	return errors.Join(err, st.Err())
}

// pointsAt returns a message with points of one metric at these steps.
func pointsAt(token string, steps ...int64) *runicornapiv1.TailMetricsResponse {
	return &runicornapiv1.TailMetricsResponse{ResumeToken: token, Viewer: "v", RunId: "r", Event: &runicornapiv1.TailMetricsResponse_Batch{Batch: batch(steps...)}}
}

func batch(steps ...int64) *runicornapiv1.MetricBatch {
	s := &runicornapiv1.MetricSeries{MetricName: "loss", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER, Steps: steps}
	for _, step := range steps {
		s.Values = append(s.Values, float64(step)/2)
		s.Times = append(s.Times, float64(step)+0.5)
	}
	return &runicornapiv1.MetricBatch{Series: []*runicornapiv1.MetricSeries{s}}
}

func heartbeat(token string) *runicornapiv1.TailMetricsResponse {
	return &runicornapiv1.TailMetricsResponse{ResumeToken: token, Event: &runicornapiv1.TailMetricsResponse_Heartbeat{Heartbeat: &runicornapiv1.Heartbeat{}}}
}

func wantSteps(t *testing.T, got []int64, want ...int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
}
