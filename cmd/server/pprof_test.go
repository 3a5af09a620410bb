package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func TestProfilesAreServedOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	p, err := newProfiles(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.serve() }()
	client := plainClient(t)
	for host, want := range map[string]int{"": http.StatusOK, "evil.example:80": http.StatusForbidden} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.listener.Addr().String()+"/debug/pprof/heap", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("for host %q: %s, want %d", host, resp.Status, want)
		}
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestProfilesAreNotServedByTheHTTPSide(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--pprof-listen=127.0.0.1:0")
	if code, _ := p.get(t, plainClient(t), "/debug/pprof/", ""); code != http.StatusNotFound {
		t.Errorf("/debug/pprof/ is %d", code)
	}
}

func TestTheLogNamesTheTraceOfACall(t *testing.T) {
	t.Parallel()
	out := newOutput()
	log, err := newLogger(&Config{LogLevel: "info", LogFormat: "json"}, out)
	if err != nil {
		t.Fatal(err)
	}
	traced := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2},
	}))
	log.With("a", 1).ErrorContext(traced, "with")
	log.ErrorContext(context.Background(), "without")
	const want = `"msg":"with","a":1,"trace_id":"01000000000000000000000000000000","span_id":"0200000000000000"}`
	if text := out.String(); !strings.Contains(text, want) || strings.Count(text, "trace_id") != 1 {
		t.Errorf("logged %s", text)
	}
}
