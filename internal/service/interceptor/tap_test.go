package interceptor

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
)

// tapped is a server behind a tap, whose history never ends.
type tapped struct {
	runicornapiv1.UnimplementedMetricServiceServer
	peers   chan string
	running atomic.Int64
}

func (s *tapped) StreamMetrics(_ *runicornapiv1.StreamMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]) error {
	s.running.Add(1)
	defer s.running.Add(-1)
	if p, ok := peer.FromContext(stream.Context()); ok && s.peers != nil {
		s.peers <- p.Addr.String()
	}
	for {
		if err := stream.Send(&runicornapiv1.StreamMetricsResponse{RunId: string(make([]byte, 32<<10))}); err != nil {
			return err
		}
	}
}

// serveTapped serves it on a port, with the interceptors in their order.
func serveTapped(t *testing.T, s *tapped, tap *Tap, stalls *Stalls) runicornapiv1.MetricServiceClient {
	t.Helper()
	validator, err := NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	if tap.Refused == nil {
		tap.Refused = func(context.Context, string, error) {}
	}
	links := Chain(Config{Log: slog.New(slog.DiscardHandler), Deadline: time.Minute, Auth: tap.Auth, Validator: validator, Stalls: stalls})
	server := grpc.NewServer(append(ServerOptions(links), grpc.InTapHandle(tap.Handle))...)
	runicornapiv1.RegisterMetricServiceServer(server, s)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		served.Wait()
	})
	return runicornapiv1.NewMetricServiceClient(conn)
}

var someRun = &runicornapiv1.StreamMetricsRequest{RunIds: []string{"20200101_000000_abcdef"}}

func withBearer(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func TestTap_EndsTheCallsOfARevokedTokenEvenIfTheClientDoesNotRead(t *testing.T) {
	auth := &Authorizer{}
	auth.SetTokens([]Token{{Role: RoleRead, Token: "stays"}, {Role: RoleRead, Token: "goes"}, {Role: RoleAdmin, Token: "sinks"}})
	s := &tapped{peers: make(chan string, 3)}
	client := serveTapped(t, s, &Tap{Auth: auth, Pending: NewPending(), MaxCalls: 10}, NewStalls(time.Minute))
	streams := map[string]grpc.ServerStreamingClient[runicornapiv1.StreamMetricsResponse]{}
	for _, token := range []string{"stays", "goes", "sinks"} {
		stream, err := client.StreamMetrics(withBearer(t.Context(), token), someRun)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil { // and then it is left unread
			t.Fatal(err)
		}
		streams[token] = stream
	}
	auth.SetTokens([]Token{{Role: RoleRead, Token: "stays"}, {Role: RoleRead, Token: "sinks"}})
	for _, token := range []string{"goes", "sinks"} {
		var err error
		for err == nil {
			_, err = streams[token].Recv()
		}
		apierrtest.WantError(t, err, codes.Unauthenticated, "TOKEN_INVALID")
	}
	if _, err := streams["stays"].Recv(); err != nil {
		t.Errorf("the stream of a token that stays: %v", err)
	}
}

func TestTap_LimitsTheCallsOfAllConnections(t *testing.T) {
	s := &tapped{}
	client := serveTapped(t, s, &Tap{Auth: &Authorizer{}, Pending: NewPending(), MaxCalls: 1}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	open := func(ctx context.Context) error {
		stream, err := client.StreamMetrics(ctx, someRun)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	if err := open(ctx); err != nil {
		t.Fatal(err)
	}
	apierrtest.WantError(t, open(t.Context()), codes.ResourceExhausted, "SERVER_LIMIT")
	cancel()
	for err := open(t.Context()); err != nil; err = open(t.Context()) {
		apierrtest.WantError(t, err, codes.ResourceExhausted, "SERVER_LIMIT")
	}
}

func TestTap_LimitsFailedLoginsOnly(t *testing.T) {
	auth := &Authorizer{}
	auth.SetTokens([]Token{{Role: RoleAdmin, Token: "known"}})
	var noted atomic.Int64
	s := &tapped{}
	client := serveTapped(t, s, &Tap{Auth: auth, Pending: NewPending(), MaxCalls: 10, Refused: func(context.Context, string, error) { noted.Add(1) }}, nil)
	open := func(token string, deadline time.Duration) error {
		ctx, cancel := context.WithTimeout(withBearer(t.Context(), token), deadline)
		defer cancel()
		stream, err := client.StreamMetrics(ctx, someRun)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	apierrtest.WantError(t, open("wrong", time.Second*20), codes.Unauthenticated, "TOKEN_INVALID")
	apierrtest.WantError(t, open("wrong", time.Hour), codes.Unauthenticated, "TOKEN_INVALID")
	var err error
	for range 10 * rateBurst {
		if err = open("wrong", time.Second*20); status.Code(err) == codes.ResourceExhausted {
			break
		}
	}
	apierrtest.WantError(t, err, codes.ResourceExhausted, "SERVER_LIMIT")
	if err := open("known", time.Hour); err != nil {
		t.Errorf("a call with a token: %v", err)
	}
	if noted.Load() < rateBurst {
		t.Errorf("%d refusals were noted", noted.Load())
	}
}

func TestStalls_LimitsTheStreamsThatWaitForTheirClients(t *testing.T) {
	s := &tapped{}
	stalls := &Stalls{After: 10 * time.Millisecond, Limit: time.Hour, LiveLimit: time.Hour, Max: 2}
	client := serveTapped(t, s, &Tap{Auth: &Authorizer{}, Pending: NewPending(), MaxCalls: 100}, stalls)
	var streams []grpc.ServerStreamingClient[runicornapiv1.StreamMetricsResponse]
	for range 5 {
		stream, err := client.StreamMetrics(t.Context(), someRun)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, stream)
	}
	for s.running.Load() > int64(stalls.Max) { // what is read no longer waits
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	ended := 0
	for _, stream := range streams {
		// One that still goes has more to read than ever fits into its windows.
		for range 1000 {
			if _, err := stream.Recv(); err != nil {
				if code := status.Code(err); code != codes.Canceled && code != codes.ResourceExhausted { // grpc-go may be first
					t.Errorf("an unread stream ended by %v", err)
				}
				ended++
				break
			}
		}
	}
	if ended < 3 {
		t.Errorf("%d of 5 unread streams ended, want 3", ended)
	}
}

func TestStalls_AStreamThatIsReadInTimeContinues(t *testing.T) {
	s := &tapped{}
	client := serveTapped(t, s, &Tap{Auth: &Authorizer{}, Pending: NewPending(), MaxCalls: 100}, NewStalls(time.Minute))
	stream, err := client.StreamMetrics(t.Context(), someRun)
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
}
