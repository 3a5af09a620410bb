// Package compat answers the REST paths of the documented Python client
// (runicorn.api of PyPI's runicorn 0.5.3), so that it works unmodified with
// every generation of Viewers, although it cannot connect to any Viewer itself.
//
// It must not know Viewers, nor anything of ours but the contract: all that it
// has is a connection to our own gRPC server. A request finds its row in the
// table of routes.go, its handler makes one or a few calls and an answer in the
// shapes that the client's models and pandas helpers read, and an error leaves
// by the table of problem.go, whose statuses become the client's exceptions.
//
// The client shapes two more things. It sends whatever fails with 500, 502, 503
// or 504 four times, POST too, so these are never answered. And after 30 s of
// silence it sends a POST again, so a waiting caller gets "100 Continue"
// (keepalive.go): one wrong SSH password must stay one login attempt.
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

// Config is what the paths are answered with.
type Config struct {
	// Conn is a connection to our own gRPC server, with its interceptors.
	Conn grpc.ClientConnInterface
	// Admit says whether the caller of a context may make calls, before a body is read; nil
	// admits all.
	Admit func(ctx context.Context) error
	// Refused hears of requests that are refused without a call; nil hears nothing.
	Refused func(r *http.Request, err error)
	// Log takes internal errors; nil discards them.
	Log *slog.Logger
}

// New returns the handler of /api/, safe for concurrent use. The guard against
// web pages stands before it, in httpapi.
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

// compat makes calls out of requests.
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

// answer is what a handler found, ready to be written.
type answer interface {
	// write writes status, headers and body. After an error the transfer is
	// aborted: a body that merely ends would look whole.
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

// respond makes the answer of a request. A panic becomes an internal error like any other:
// net/http would close the connection, and then the client repeats its POST.
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
	if r.ContentLength != 0 { // else the call says so, and health needs no token
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

// forwarded are the headers that become metadata: the token, where the server
// demands one and the caller has put it into the client's session, and what
// finds a request again in traces.
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

// input is what a request says.
type input struct {
	// id is what stands in the path.
	id    string
	query url.Values
	body  []byte
}

// count reads a parameter that is a number of things; 0 is one that is absent.
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

// checkQuery refuses parameters that a route does not have, which would
// otherwise look as if they held.
func checkQuery(query url.Values, allowed []string) error {
	for name, values := range query {
		if !slices.Contains(allowed, name) {
			return invalid(fmt.Sprintf("%q is no parameter of this path", name))
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
