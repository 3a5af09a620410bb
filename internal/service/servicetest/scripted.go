package servicetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// Scripted is a transport that answers as a test requires; other routes are answered by
// the demo Viewer.
type Scripted struct {
	demo  http.Handler
	Reply func(*http.Request) (*http.Response, error)
}

// RoundTrip answers one request.
func (s *Scripted) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == "/openapi.json" {
		recorder := httptest.NewRecorder()
		s.demo.ServeHTTP(recorder, req)
		return recorder.Result(), nil
	}
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	return s.Reply(req)
}

// NewScripted returns a harness whose Viewer answers as Reply returns.
func NewScripted(tb testing.TB, s Setup, change func(*restclient.Config)) (*Harness, *Scripted) {
	tb.Helper()
	demo, err := demotest.New(demotest.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	script := &Scripted{demo: demo}
	s.Client = func(c *restclient.Config) {
		c.Transport = script
		if change != nil {
			change(c)
		}
	}
	return New(tb, s, demotest.Gen07), script
}

// RespondWith returns a function that makes a response.
func RespondWith(status int, contentType, body string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Request: req, Body: io.NopCloser(strings.NewReader(body)),
			Header: http.Header{"Content-Type": {contentType}}, ContentLength: int64(len(body)),
		}, nil
	}
}
