package restclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClient_TruncatedBodyIsAnError(t *testing.T) {
	whole := string(fixture(t, "0.6.0", "run_detail_running"))
	v := newViewer(t, "0.6.0")
	at := 0
	v.on("GET /api/runs/x", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// Content-Length is larger than the body, so the server closes the connection.
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, whole[:at])
	})
	c := v.client(t)
	for at = range len(whole) {
		_, err := c.GetRun(t.Context(), "x")
		e := typed(t, err, KindCutOff)
		if e.BytesDelivered != int64(at) {
			t.Fatalf("cut at %d: %d bytes delivered", at, e.BytesDelivered)
		}
	}
}

func TestClient_InvalidBodyIsMalformed(t *testing.T) {
	for _, tt := range []struct{ name, contentType, body string }{
		{"half an object", "application/json", `{"id":"x"`},
		{"nothing", "application/json", ``},
		{"trailing garbage", "application/json", `{"id":"x"} extra`},
		{"a second value", "application/json", `{"id":"x"}{}`},
		{"a list", "application/json", `[1]`},
		{"a number for an id", "application/json", `{"id":1}`},
		{"a bare NaN", "application/json", `{"pid":NaN}`},
		{"another content type", "text/plain", `{"id":"x"}`},
		{"no content type", "", `{"id":"x"}`},
		{"a well of brackets", "application/json", `{"summary":` + strings.Repeat("[", 20000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on("GET /api/runs/x", answer(200, tt.contentType, []byte(tt.body)))
			_, err := v.client(t).GetRun(t.Context(), "x")
			wantKind(t, err, KindMalformed)
		})
	}
}

func TestClient_BodyOverTheLimitIsTooLarge(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("GET /api/config", jsonAnswer(`{"storage":"`+strings.Repeat("x", 1<<20)+`"}`))
	c := v.client(t)
	c.maxBody = 1 << 16
	_, err := c.Config(t.Context())
	wantKind(t, err, KindTooLarge)
}

func TestClient_ReplacesInvalidUTF8(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("GET /api/runs/x", jsonAnswer("{\"id\":\"x\",\"alias\":\"a\xffb\",\"status\":\"\xc3\"}"))
	run, err := v.client(t).GetRun(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if !run.Lossy || run.Alias.Value != "a\uFFFDb" || run.Status.Value != "\uFFFD" {
		t.Errorf("lossy %t, alias %q, status %q", run.Lossy, run.Alias.Value, run.Status.Value)
	}
}

// oneByte reads one byte at a time.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// stalling is a body that never ends.
type stalling struct {
	ctx  context.Context
	rest io.Reader
}

func (s stalling) Read(p []byte) (int, error) {
	if n, _ := s.rest.Read(p); n > 0 {
		return n, nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (stalling) Close() error { return nil }

func TestClient_OwnTimeoutIsKindTimeout(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(context.Context, *Client) error
		want time.Duration
	}{
		{"a light call", func(ctx context.Context, c *Client) error { _, err := c.Config(ctx); return err }, 30 * time.Second},
		{"a heavy call", func(ctx context.Context, c *Client) error { _, err := c.System(ctx); return err }, 120 * time.Second},
	} {
		for _, part := range []string{"headers", "body"} {
			t.Run(tt.name+" without "+part, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := bubbleClient(t, func(req *http.Request) (*http.Response, error) {
						if part == "headers" {
							<-req.Context().Done()
							return nil, req.Context().Err()
						}
						resp := response(200, "")
						resp.Body = stalling{req.Context(), strings.NewReader(`{"a":`)}
						return resp, nil
					})
					start := time.Now()
					wantKind(t, tt.call(t.Context(), c), KindTimeout)
					if got := time.Since(start); got != tt.want {
						t.Errorf("after %v, want %v", got, tt.want)
					}
				})
			})
		}
	}
}

func TestClient_StreamTimesOutOnlyWhenStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubbleClient(t, func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/api/runs/x" {
				return response(200, `{"id":"x","run_dir":"/r","metrics":"/r/events.jsonl"}`), nil
			}
			resp := response(200, "")
			resp.Body = stalling{req.Context(), oneByte{strings.NewReader("abc")}}
			return resp, nil
		})
		part, err := c.EventFile(t.Context(), "x", 0)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 8)
		for range 3 {
			pass(t, time.Hour) // a slow reader is not the Viewer's fault
			if n, err := part.Read(b); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		start := time.Now()
		_, err = part.Read(b)
		if e := typed(t, err, KindTimeout); e.BytesDelivered != 3 || time.Since(start) != 30*time.Second {
			t.Errorf("%d bytes, %v", e.BytesDelivered, time.Since(start))
		}
		if err := part.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestClient_LostAnswerToAChangeIsOutcomeUnknown(t *testing.T) {
	const id = "20261123_151105_e4a55c"
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"before the headers", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"in the body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"results":`)
		}},
		{"by a proxy", answer(502, "text/html", nil)},
		{"by a slow proxy", answer(504, "text/html", nil)},
		{"because it takes too long", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on("POST /api/runs/soft-delete", tt.answer)
			c := v.client(t, func(cfg *Config) { cfg.LightTimeout = 200 * time.Millisecond })
			_, err := c.SoftDelete(t.Context(), []string{id})
			wantKind(t, err, KindOutcomeUnknown)
			if n := len(v.requests()); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
	t.Run("but not one that was never sent", func(t *testing.T) {
		v := newViewer(t, "0.6.0")
		c := v.client(t)
		if _, err := c.Capabilities(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.Close()
		c.Close() // a request on a reused connection might have been sent
		_, err := c.SoftDelete(t.Context(), []string{id})
		wantKind(t, err, KindUnreachable)
	})
}

func TestClient_ReportsAFailedClose(t *testing.T) {
	broken := errors.New("close failed")
	c := bubbleClient(t, func(*http.Request) (*http.Response, error) {
		resp := response(200, `{}`)
		resp.Body = struct {
			io.Reader
			closer
		}{strings.NewReader(`{}`), closer{broken}}
		return resp, nil
	})
	if _, err := c.Config(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type closer struct{ err error }

func (c closer) Close() error { return c.err }
