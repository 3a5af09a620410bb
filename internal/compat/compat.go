// Package compat answers the REST paths of the documented Python client (runicorn.api of
// PyPI's runicorn 0.5.3), so that it works unmodified with every generation of Viewers,
// although the client on its own cannot connect to any Viewer.
//
// It must not use Viewers or any package of the server: it has only a connection to the
// gRPC server of this process. A request finds its route in the table of routes.go. The
// handler makes one or a few calls and a response in the form that the client's models
// and pandas helpers read. An error is mapped by the table of problem.go, whose statuses
// become the client's exceptions.
//
// Two properties of the client need care. It repeats a request up to three times, POST
// included, after 500, 502, 503 and 504, so these are never sent. And it repeats a POST
// after 30 s without data, so a waiting caller gets "100 Continue" (keepalive.go): one
// wrong SSH password must remain one login attempt.
package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/panics"
)

// maxBody is the largest body of a request in bytes: an SSH key is 64 KiB at
// most.
const maxBody = 1 << 20

// Config holds what the handler depends on.
type Config struct {
	// Conn is a connection to our own gRPC server, with its interceptors.
	Conn grpc.ClientConnInterface
	// Admit returns an error if the caller of a context may not make calls. It is called
	// before a body is read; nil admits all.
	Admit func(ctx context.Context) error
	// Refused is called for requests that are refused without a call; may be nil.
	Refused func(r *http.Request, err error)
	// Log takes internal errors; nil discards them.
	Log *slog.Logger
}

// New returns the handler of /api/, safe for concurrent use. The guard against web pages
// is in httpapi, which calls this handler.
func New(cfg Config) http.Handler {
	c := &compat{
		experiments: runicornapiv1.NewExperimentServiceClient(cfg.Conn),
		metrics:     runicornapiv1.NewMetricServiceClient(cfg.Conn),
		artifacts:   runicornapiv1.NewArtifactServiceClient(cfg.Conn),
		remote:      runicornapiv1.NewRemoteServiceClient(cfg.Conn),
		viewers:     runicornapiv1.NewViewerServiceClient(cfg.Conn),
		log:         cfg.Log,
		admit:       cfg.Admit,
		refused:     cfg.Refused,
	}
	if c.admit == nil {
		c.admit = func(context.Context) error { return nil }
	}
	if c.refused == nil {
		c.refused = func(*http.Request, error) {}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// compat translates requests to calls.
type compat struct {
	experiments runicornapiv1.ExperimentServiceClient
	metrics     runicornapiv1.MetricServiceClient
	artifacts   runicornapiv1.ArtifactServiceClient
	remote      runicornapiv1.RemoteServiceClient
	viewers     runicornapiv1.ViewerServiceClient
	log         *slog.Logger
	admit       func(ctx context.Context) error
	refused     func(r *http.Request, err error)
}

// answer is a response that is ready to be written.
type answer interface {
	// write writes status, headers and body. After an error the transfer is aborted: a
	// body that merely ends would look complete.
	write(w http.ResponseWriter) error
}

// ServeHTTP answers one request.
func (c *compat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(outgoing(r))
	defer cancel() // a call that streams ends with the request
	w.Header().Set("Cache-Control", "no-store")
	found, err := c.respond(ctx, w, r)
	if err != nil {
		found = c.problemOf(ctx, err)
	}
	if err := found.write(w); err != nil {
		c.log.DebugContext(ctx, "answer aborted", slog.String("path", r.URL.Path), slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// respond makes the response to a request. A panic becomes an internal error: net/http
// would close the connection, and the client would repeat its POST.
func (c *compat) respond(ctx context.Context, w http.ResponseWriter, r *http.Request) (found answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, panics.Error(p)
		}
	}()
	rt, in, err := match(r)
	if err != nil {
		return nil, err
	}
	if r.ContentLength != 0 { // otherwise the call checks it, and health needs no token
		if err := c.admit(r.Context()); err != nil {
			c.refused(r, err)
			return nil, err
		}
	}
	if in.body, err = readBody(w, r); err != nil {
		return nil, err
	}
	release := sendContinue(w, r)
	defer release()
	return rt.handle(c, ctx, in)
}

// forwarded are the headers that become metadata: the token, if the caller has put it
// into the client's session, and the trace of the request.
var forwarded = []string{"Authorization", "Traceparent", "Tracestate"}

// outgoing returns the context of the calls that a request makes.
func outgoing(r *http.Request) context.Context {
	md := metadata.MD{}
	for _, key := range forwarded {
		md.Append(strings.ToLower(key), r.Header.Values(key)...)
	}
	return metadata.NewOutgoingContext(r.Context(), md)
}

// readBody reads the body of a request, all of it before any call is made.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &problem{status: http.StatusRequestEntityTooLarge, Reason: reasonInvalid, Detail: "the body is larger than 1 MiB"}
	}
	if err != nil {
		return nil, invalid("the body ends too early")
	}
	return body, nil
}

// input is a parsed request.
type input struct {
	// id is the id in the path.
	id    string
	query url.Values
	body  []byte
}

// count parses a parameter that is a count; an absent one is 0.
func (in *input) count(name string) (int, error) {
	text := in.query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, invalid(name + " must be a whole number from 0 to 2147483647")
	}
	return int(n), nil
}

// window reads limit and offset.
func (in *input) window() (window, error) {
	limit, limitErr := in.count("limit")
	offset, offsetErr := in.count("offset")
	return window{offset: offset, limit: limit}, errors.Join(limitErr, offsetErr)
}

// checkQuery refuses unknown parameters, which would otherwise be ignored.
func checkQuery(query url.Values, allowed []string) error {
	for name, values := range query {
		if !slices.Contains(allowed, name) {
			return invalid(fmt.Sprintf("%q is not a parameter of this path", name))
		}
		if len(values) > 1 {
			return invalid(name + " is given more than once")
		}
		if !utf8.ValidString(values[0]) {
			return invalid(name + " is not UTF-8")
		}
	}
	return nil
}
