package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/tap"
	"google.golang.org/grpc/test/bufconn"

	"github.com/runicorn-grpc/runicorn-grpc/internal/arrowflight"
	"github.com/runicorn-grpc/runicorn-grpc/internal/httpapi"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/wire"
	"github.com/runicorn-grpc/runicorn-grpc/internal/tensorboard"
)

// Limits of the transport.
const (
	maxReceive       = interceptor.MaxRequest
	maxSend          = tensorboard.MaxMessage // wire.Bounded limits other messages to answer.MaxMessage
	maxHeaders       = 64 << 10               // of a call, in bytes
	handshakeTimeout = 20 * time.Second
	// Windows are fixed: grpc-go would increase them up to 16 MiB for each stream that is
	// not read.
	streamWindow = 64 << 10
	connWindow   = 1 << 20
)

// keepaliveEnforcement permits pings every 20 s, with and without calls, and the 10 s
// that are the minimum of grpc-go's clients, with jitter.
var keepaliveEnforcement = keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}

// init sets the pool for the messages of this process; grpc-go allows that only here.
func init() { experimental.SetDefaultBufferPool(filestream.BufferPool()) }

// newGRPCServer returns the server with all services, reflection (v1 and
// v1alpha) and health.
func newGRPCServer(cfg *Config, deps service.Config, parts chainParts, calls *interceptor.Tap, refused *refusals, tracing *tracing, health *healthServer) *grpc.Server {
	links := chain(parts)
	options := []grpc.ServerOption{
		grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
			ctx, err := calls.Handle(ctx, info)
			return ctx, arrowflight.WithReason(info.FullMethodName, err)
		}),
		grpc.Creds(listenerTLS{}),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ForceServerCodecV2(wire.Lenient(wire.Bounded(wire.NewCodec(), answer.MaxMessage, tensorboard.IsMessage))),
		grpc.MaxRecvMsgSize(maxReceive),
		grpc.MaxSendMsgSize(maxSend),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(cfg.MaxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepaliveEnforcement),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			// The keepalive ends the streams of clients that vanished without closing
			// their connection. There is no MaxConnectionAgeGrace: streams continue to
			// their end.
			Time: time.Minute, Timeout: 20 * time.Second, MaxConnectionAge: cfg.MaxConnectionAge,
			MaxConnectionIdle: cfg.MaxConnectionIdle,
		}),
	}
	options = append(options, interceptor.ServerOptions(links)...)
	options = append(options, tracing.options()...)
	server := grpc.NewServer(options...)
	service.Register(server, deps)
	reflection.Register(server)
	health.register(server)
	parts.metrics.InitializeMetrics(server)
	refused.watch(server, links[0], logCalls(parts.Log), interceptor.Interceptor{Unary: parts.audit.Unary, Stream: parts.audit.Stream})
	return server
}

// stopGRPC lets calls in flight finish until the context ends, then cancels the others.
// Unlike GracefulStop, it does not wait for a method that ignores even that, which ends
// with the process.
func stopGRPC(ctx context.Context, server *grpc.Server) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		server.GracefulStop()
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
		server.Stop()
	}
}

// dialMemory returns the connection on which HTTP callers reach the gRPC server, and
// thereby its interceptors.
func dialMemory(memory *bufconn.Listener) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///in-process",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return memory.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(withCaller(ctx), method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return open(withCaller(ctx), desc, cc, method, opts...)
		}),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(answer.MaxMessage)),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to the server itself: %w", err)
	}
	return conn, nil
}

// withCaller passes the identity, the authority and the trace of a call on to another
// call in this process. For calls over HTTP, the latter two are already set.
func withCaller(ctx context.Context) context.Context {
	in, _ := metadata.FromIncomingContext(ctx)
	var pairs []string
	for _, key := range []string{"authorization", "traceparent", "tracestate"} {
		for _, value := range in.Get(key) {
			pairs = append(pairs, key, value)
		}
	}
	ctx = interceptor.Forward(metadata.AppendToOutgoingContext(ctx, pairs...))
	if p, ok := peer.FromContext(ctx); ok {
		return metadata.AppendToOutgoingContext(ctx, httpapi.PeerHeader, p.Addr.String())
	}
	return ctx
}
