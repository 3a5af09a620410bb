package main

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// refusals counts and logs calls that are refused before their message is read, as the
// interceptors do for all others. Noting one never blocks.
type refusals struct {
	metrics, log, audit interceptor.Interceptor
	leaveOut            func() // called for a refusal that is neither logged nor audited
	methods             func() map[string]grpc.MethodInfo
	queue               chan refusal
	rate                interceptor.Rate
}

type refusal struct {
	ctx    context.Context //nolint:containedctx // that of the call, for its log line
	method string
	err    error
	logged bool // false: only audited
}

func newRefusals(leaveOut func()) *refusals {
	return &refusals{queue: make(chan refusal, 256), leaveOut: leaveOut}
}

// watch sets the interceptors that see the refusals of a server. Only the server's
// methods become labels of metrics.
func (r *refusals) watch(server *grpc.Server, metrics, log, audit interceptor.Interceptor) {
	r.metrics, r.log, r.audit = metrics, log, audit
	r.methods = sync.OnceValue(func() map[string]grpc.MethodInfo {
		methods := map[string]grpc.MethodInfo{}
		for service, info := range server.GetServiceInfo() {
			for _, m := range info.Methods {
				methods["/"+service+"/"+m.Name] = m
			}
		}
		return methods
	})
}

// note counts a refusal, and has it logged and audited. Beyond the rate limit it is not
// logged, and only audited if the caller is known.
func (r *refusals) note(ctx context.Context, fullMethod string, err error) {
	if _, known := r.methods()[fullMethod]; !known {
		fullMethod = "/unknown/unknown"
	}
	refused := refusal{context.WithoutCancel(ctx), fullMethod, err, r.rate.Allow()}
	r.pass(r.metrics, refused)
	if !refused.logged && interceptor.Admit(ctx) != nil {
		r.leaveOut()
		return
	}
	select {
	case r.queue <- refused:
	default:
		r.leaveOut()
	}
}

// run writes until the context ends.
func (r *refusals) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case refused := <-r.queue:
			r.write(refused)
		}
	}
}

// flush writes the remaining refusals.
func (r *refusals) flush() {
	for r != nil {
		select {
		case refused := <-r.queue:
			r.write(refused)
		default:
			return
		}
	}
}

// write logs and audits a refusal.
func (r *refusals) write(refused refusal) {
	if refused.logged {
		r.pass(r.log, refused)
	}
	r.pass(r.audit, refused)
}

// pass makes an interceptor see a call that ends with its refusal.
func (r *refusals) pass(link interceptor.Interceptor, refused refusal) {
	m := r.methods()[refused.method]
	if m.IsServerStream || m.IsClientStream {
		info := &grpc.StreamServerInfo{FullMethod: refused.method, IsClientStream: m.IsClientStream, IsServerStream: m.IsServerStream}
		_ = link.Stream(nil, refusedStream{ctx: refused.ctx}, info, func(any, grpc.ServerStream) error { return refused.err })
		return
	}
	info := &grpc.UnaryServerInfo{FullMethod: refused.method}
	_, _ = link.Unary(refused.ctx, nil, info, func(context.Context, any) (any, error) { return nil, refused.err })
}

// refusedStream is a stream without messages.
type refusedStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream has one
}

// Context returns that of the call.
func (s refusedStream) Context() context.Context { return s.ctx }
