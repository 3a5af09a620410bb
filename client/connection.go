package client

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	maxMessageBytes   = 64 << 20
	keepaliveInterval = time.Minute
	keepaliveTimeout  = 20 * time.Second
)

// connection makes the calls: it adds the token, converts errors to *Error, and
// retries reads. It is a grpc.ClientConnInterface over a link that can be replaced,
// because grpc keeps the connection to a server that hangs.
type connection struct {
	target  string
	secure  bool
	token   string
	retries int
	onRetry func(Retry)
	options []grpc.DialOption

	mu      sync.Mutex
	current *link          // nil until the next call
	links   map[*link]bool // those that are not closed
	closed  bool
	closing sync.WaitGroup // goroutines that close replaced links
}

// link is a connection of grpc with its number of open calls, guarded by connection.mu.
type link struct {
	conn     *grpc.ClientConn
	calls    int
	replaced bool
}

func newConnection(target string, c *config) (*connection, error) {
	transport := insecure.NewCredentials()
	if c.tls != nil {
		transport = credentials.NewTLS(c.tls)
	}
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = firstDelay, maxDelay/2
	conn := &connection{target: target, secure: c.tls != nil, token: c.token, retries: c.retries, onRetry: c.onRetry, links: map[*link]bool{}}
	conn.options = append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("runicorn-grpc-go"),
		grpc.WithDisableRetry(), // this package decides on retries
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: 10 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveInterval, Timeout: keepaliveTimeout}),
	}, c.dial...)
	l, err := conn.acquire() // opens no socket, but checks the options
	if err != nil {
		return nil, err
	}
	conn.release(l)
	return conn, nil
}

var errClosed = errors.New("the client is closed")

// acquire returns the current link. The caller must release it when its call has ended.
func (c *connection) acquire() (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if c.current == nil {
		conn, err := grpc.NewClient(c.target, c.options...)
		if err != nil {
			return nil, err
		}
		c.current = &link{conn: conn}
		c.links[c.current] = true
	}
	c.current.calls++
	return c.current, nil
}

func (c *connection) release(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.calls--
	c.closeUnused(l)
}

// replace makes the next call open a new connection, unless l has been replaced
// already. Open calls on l continue.
func (c *connection) replace(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == l {
		c.current, l.replaced = nil, true
		c.closeUnused(l)
	}
}

// closeUnused closes a replaced link without calls. Called with mu held.
func (c *connection) closeUnused(l *link) {
	if l.replaced && l.calls == 0 && c.links[l] {
		delete(c.links, l)
		// On another goroutine, because grpc may hold locks of the call that has just ended.
		c.closing.Go(func() { _ = l.conn.Close() }) // fails only if it is closed already
	}
}

// Close closes all links, which ends their calls.
func (c *connection) Close() error {
	c.mu.Lock()
	links := c.links
	c.links, c.current, c.closed = nil, nil, true
	c.mu.Unlock()
	var err error
	for l := range links {
		err = errors.Join(err, l.conn.Close())
	}
	c.closing.Wait()
	return err
}

// Invoke makes a unary call, and retries it if the method only reads.
func (c *connection) Invoke(ctx context.Context, method string, request, response any, options ...grpc.CallOption) error {
	limit := 0
	if onlyReads(method) {
		limit = c.retries
	}
	attempts := c.attempts(method, limit)
	for {
		err := c.invoke(ctx, method, request, response, options)
		if err == nil {
			return nil
		}
		if err := attempts.wait(ctx, err); err != nil {
			return err
		}
	}
}

func (c *connection) invoke(ctx context.Context, method string, request, response any, options []grpc.CallOption) error {
	l, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release(l)
	return c.explain(ctx, l.conn.Invoke(c.withToken(ctx), method, request, response, options...))
}

// NewStream begins a streaming call. It does not retry: the reader of the stream knows
// where to resume.
func (c *connection) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	l, err := c.acquire()
	if err != nil {
		return nil, err
	}
	release := sync.OnceFunc(func() { c.release(l) })
	options = append(options, grpc.OnFinish(func(error) { release() }))
	s, err := l.conn.NewStream(c.withToken(ctx), desc, method, options...)
	if err != nil {
		release()
		return nil, c.explain(ctx, err)
	}
	return &stream{ClientStream: s, ctx: ctx, conn: c}, nil
}

func (c *connection) withToken(ctx context.Context) context.Context {
	if c.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
}

// explain converts an error of grpc to an *Error; nil and io.EOF are returned as they
// are.
func (c *connection) explain(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	e := fromGRPC(err)
	e.cause = ctx.Err()
	if e.Code == codes.Unavailable && e.Reason == "" {
		message := strings.TrimSuffix(strings.TrimPrefix(e.Message, `connection error: desc = "`), `"`)
		message = strings.TrimPrefix(message, "transport: Error while dialing: ")
		e.Message = c.target + " does not answer (" + message + "); is runicorn-grpc running there?"
	}
	return e
}

// stream is a stream that returns errors of type *Error.
type stream struct {
	grpc.ClientStream
	ctx  context.Context //nolint:containedctx // the context of the call
	conn *connection
}

func (s *stream) SendMsg(m any) error { return s.conn.explain(s.ctx, s.ClientStream.SendMsg(m)) }

func (s *stream) RecvMsg(m any) error { return s.conn.explain(s.ctx, s.ClientStream.RecvMsg(m)) }

// onlyReads reports whether a method, such as "/package.Service/Method", changes
// nothing.
func onlyReads(method string) bool {
	name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return false // not of our contract
	}
	options, ok := found.Options().(*descriptorpb.MethodOptions)
	return ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}
