package restclient

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// refused is the error of dialing a port without a listener.
var refused = &netError{syscall.ECONNREFUSED}

// netError is a failed dial without sockets.
type netError struct{ err error }

func (e *netError) Error() string { return "dial: " + e.err.Error() }
func (e *netError) Unwrap() error { return e.err }

func TestClient_RetriesOnlyLightReadsAndOnlyTransientFailures(t *testing.T) {
	reset := &netError{syscall.ECONNRESET}
	config := func(ctx context.Context, c *Client) error { _, err := c.Config(ctx); return err }
	table := func(ctx context.Context, c *Client) error {
		_, err := c.Table(ctx, "x", func(*eventlog.Row) error { return nil }, nil)
		return err
	}
	zip := func(ctx context.Context, c *Client) error {
		_, err := c.do(ctx, call{cap: CapFiles, ids: []string{"x"}, class: archive})
		return err
	}
	change := func(ctx context.Context, c *Client) error { _, err := c.CheckStatuses(ctx); return err }
	patch := func(ctx context.Context, c *Client) error {
		_, err := c.PatchRun(ctx, "x", RunPatch{})
		return err
	}
	remove := func(ctx context.Context, c *Client) error { return c.DeleteSaved(ctx, "x") }
	for _, tt := range []struct {
		name   string
		call   func(context.Context, *Client) error
		status int
		err    error
		want   int
	}{
		{"a reset read", config, 0, reset, 3},
		{"a refused read", config, 0, refused, 3},
		{"a read with 502", config, 502, nil, 3},
		{"a read with 504", config, 504, nil, 3},
		{"a read with 500", config, 500, nil, 1},
		{"a read with 503", config, 503, nil, 1},
		{"a read with 429", config, 429, nil, 1},
		{"a read with 404", config, 404, nil, 1},
		{"a heavy read", table, 0, reset, 1},
		{"a heavy read with 502", table, 502, nil, 1},
		{"an archive", zip, 0, reset, 1},
		{"a POST", change, 0, reset, 1},
		{"a POST with 502", change, 502, nil, 1},
		{"a PATCH", patch, 0, reset, 1},
		{"a DELETE", remove, 0, reset, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int32
				c := bubbleClient(t, func(*http.Request) (*http.Response, error) {
					sent.Add(1)
					return response(tt.status, `{}`), tt.err
				})
				if err := tt.call(t.Context(), c); err == nil {
					t.Error("no error")
				}
				if got := int(sent.Load()); got != tt.want {
					t.Errorf("sent %d times, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestClient_ARetryMaySucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent int
		c := bubbleClient(t, func(*http.Request) (*http.Response, error) {
			if sent++; sent < 3 {
				return response(502, `bad gateway`), nil
			}
			return response(200, `{"storage":"/s"}`), nil
		})
		if got, err := c.Config(t.Context()); err != nil || got.Storage.Value != "/s" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestClient_DoesNotRetryPastTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := bubbleClient(t, func(*http.Request) (*http.Response, error) { sent++; return nil, refused })
		if _, err := c.Capabilities(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		x, err := c.do(ctx, call{cap: capConfig})
		if x != nil || sent != 1 {
			t.Errorf("sent %d times", sent)
		}
		wantKind(t, err, KindUnreachable)
	})
}

func TestClient_RetriesStayWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := bubbleClient(t, func(*http.Request) (*http.Response, error) { sent++; return response(502, ``), nil })
		const calls = 1000
		for range calls {
			if _, err := c.Config(t.Context()); err == nil {
				t.Fatal("no error")
			}
		}
		if sent > calls+calls/10+int(budgetCap) {
			t.Errorf("%d calls were sent %d times", calls, sent)
		}
	})
}

func TestBreaker_OpensOnRefusalsAndProbesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error = refused
		sent := 0
		c := bubbleClient(t, func(*http.Request) (*http.Response, error) {
			sent++
			if err != nil {
				return nil, err
			}
			return response(200, `{}`), nil
		})
		c.budget.tokens = -1e6 // no retries
		ask := func() error { _, err := c.Health(t.Context()); return err }
		for range breakerThreshold {
			wantKind(t, ask(), KindUnreachable)
		}
		e := typed(t, ask(), KindUnreachable)
		if sent != breakerThreshold || !errors.Is(e, errBreakerOpen) || e.RetryAfter <= 0 {
			t.Fatalf("open: sent %d, %+v", sent, e)
		}
		pass(t, breakerCooldown)
		wantKind(t, ask(), KindUnreachable) // the probe
		wantKind(t, ask(), KindUnreachable) // blocked
		if sent != breakerThreshold+1 {
			t.Fatalf("half open: sent %d", sent)
		}
		err = nil
		pass(t, breakerCooldown)
		for range 3 {
			if err := ask(); err != nil {
				t.Fatalf("after recovery: %v", err)
			}
		}
	})
}

func TestBreaker_StaysClosedForASlowOrFailingViewer(t *testing.T) {
	for _, tt := range []struct {
		name string
		trip roundTrip
	}{
		{"too slow", func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}},
		{"resets", func(*http.Request) (*http.Response, error) { return nil, &netError{syscall.ECONNRESET} }},
		{"500", func(*http.Request) (*http.Response, error) { return response(500, ""), nil }},
		{"502", func(*http.Request) (*http.Response, error) { return response(502, ""), nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := bubbleClient(t, tt.trip)
				for range 20 {
					if _, err := c.Health(t.Context()); errors.Is(err, errBreakerOpen) {
						t.Fatal("the breaker is open")
					}
				}
			})
		})
	}
}

func TestError_IsOneLine(t *testing.T) {
	err := &Error{
		Kind: KindBadRequest, Method: "GET", Route: "/api/runs/{run_id}", Status: 422, Detail: "refused",
		Violations: []Violation{{Loc: []string{"body", "0"}, Message: "bad"}}, Err: errors.New("cause"),
	}
	got := err.Error()
	for _, part := range []string{"GET /api/runs/{run_id}", "bad request", "422", "refused", "body.0: bad", "cause"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q lacks %q", got, part)
		}
	}
}
