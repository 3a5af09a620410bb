package examples

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

const retryDelay = 1500 * time.Millisecond // the RetryInfo of the server

// ends lists how the calls for a run end, in order, by the suffix of its name. The
// client must stop at the last one.
var ends = map[string][]error{
	"resumes": {
		failure(codes.Unavailable, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)}),
		failure(codes.Internal),
		failure(codes.Unknown),
		failure(codes.Canceled),
		failure(codes.Internal, &errdetails.ErrorInfo{Domain: "a gateway", Reason: "UPSTREAM_GONE"}),
		nil,
	},
	"reasoned": {failure(codes.Internal, &errdetails.ErrorInfo{Domain: "runicorn-grpc", Reason: "VIEWER_ANSWER_INVALID"})},
	"refused":  {failure(codes.FailedPrecondition)},
}

func failure(code codes.Code, details ...protoadapt.MessageV1) error {
	s, err := status.New(code, "as the test wants").WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// scripted is a server whose calls each send one point and end as ends says.
type scripted struct {
	runicornapiv1.UnimplementedMetricServiceServer

	mu    sync.Mutex
	calls map[string][]call // by run
}

type call struct {
	at    time.Time
	token string
}

func (s *scripted) TailMetrics(r *runicornapiv1.TailMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]) error {
	if len(r.GetRunIds()) != 1 {
		return status.Errorf(codes.InvalidArgument, "run_ids %q with token %q", r.GetRunIds(), r.GetResumeToken())
	}
	run := r.GetRunIds()[0]
	s.mu.Lock()
	n := len(s.calls[run])
	s.calls[run] = append(s.calls[run], call{time.Now(), r.GetResumeToken()})
	s.mu.Unlock()
	_, script, _ := strings.Cut(run, "-")
	if n >= len(ends[script]) {
		return status.Error(codes.InvalidArgument, "called once more")
	}
	if n > 0 {
		series := &runicornapiv1.MetricSeries{
			MetricName: "loss", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER, Steps: []int64{int64(n)}, Times: []float64{1}, Values: []float64{1},
		}
		batch := &runicornapiv1.MetricBatch{Series: []*runicornapiv1.MetricSeries{series}}
		if err := stream.Send(&runicornapiv1.TailMetricsResponse{
			ResumeToken: fmt.Sprint("token ", n), RunId: run, Event: &runicornapiv1.TailMetricsResponse_Batch{Batch: batch},
		}); err != nil {
			return err
		}
	}
	return ends[script][n]
}

// TestClients_FollowTheRule ends the calls of all clients in every way, and checks that
// they resume only after errors that allow it, and not before the delay of RetryInfo.
func TestClients_FollowTheRule(t *testing.T) {
	t.Parallel()
	all := clients(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service := &scripted{calls: map[string][]call{}}
	grpcServer := grpc.NewServer()
	runicornapiv1.RegisterMetricServiceServer(grpcServer, service)
	var serving sync.WaitGroup
	serving.Go(func() { _ = grpcServer.Serve(listener) }) // returns when the server is stopped
	t.Cleanup(func() { grpcServer.Stop(); serving.Wait() })
	srv := server{grpcAddr: listener.Addr().String()}

	for _, c := range all {
		for _, script := range []string{"reasoned", "refused"} {
			t.Run(c.name+" is "+script, func(t *testing.T) {
				run := c.name + "-" + script
				r := c.start(t, srv, "tail", run)
				for l := range r.lines {
					t.Errorf("it prints %+v", l)
				}
				if err := r.cmd.Wait(); err == nil {
					t.Error("it ends as if all was well")
				}
				if got := service.of(run); len(got) != 1 {
					t.Errorf("%d calls, want 1", len(got))
				}
			})
		}
		t.Run(c.name+" resumes", func(t *testing.T) {
			run := c.name + "-resumes"
			r := c.start(t, srv, "tail", run)
			r.rest()
			got := service.of(run)
			if len(got) != len(ends["resumes"]) {
				t.Fatalf("%d calls, want %d", len(got), len(ends["resumes"]))
			}
			if waited := got[1].at.Sub(got[0].at); waited < retryDelay {
				t.Errorf("it resumed after %s, before the delay of %s", waited, retryDelay)
			}
			var tokens []string
			want := points{}
			for i, one := range got {
				tokens = append(tokens, one.token)
				if i > 0 {
					want.add(line{Metric: "loss", Step: int64(i), Value: 1.0})
				}
			}
			if !slices.Equal(tokens, []string{"", "", "token 1", "token 2", "token 3", "token 4"}) {
				t.Errorf("it resumes from %q", tokens)
			}
			r.got.compare(t, want)
		})
	}
}

func (s *scripted) of(run string) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[run])
}
