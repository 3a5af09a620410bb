package restclient

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sshPeer is a Viewer in a bubble with slow calls over SSH.
type sshPeer struct {
	mu                sync.Mutex
	sent              []string // method and path
	active, maxActive int
	answer            func(*http.Request) (*http.Response, error)
}

func (p *sshPeer) round(req *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	p.mu.Lock()
	p.sent = append(p.sent, req.Method+" "+req.URL.Path)
	p.active++
	p.maxActive = max(p.maxActive, p.active)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.active--
		p.mu.Unlock()
	}()
	return p.answer(req)
}

func (p *sshPeer) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent)
}

// after answers after a delay, or fails with its request.
func after(d time.Duration, status int, body string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		if err := sleep(req.Context(), d); err != nil {
			return nil, context.Cause(req.Context())
		}
		return response(status, body), nil
	}
}

const never = 1000 * time.Hour

func TestSSH_UsesTheRoutesDeadline(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(context.Context, *Client) error
		want time.Duration
		kind Kind
	}{
		{"connect", func(ctx context.Context, c *Client) error { _, err := c.Connect(ctx, someLogin); return err }, 45 * time.Second, KindOutcomeUnknown},
		{"start", func(ctx context.Context, c *Client) error {
			_, err := c.StartViewer(ctx, StartRequest{Login: someLogin, RemoteRoot: "/r"})
			return err
		}, 120 * time.Second, KindOutcomeUnknown},
		{"stop", func(ctx context.Context, c *Client) error { return c.StopViewer(ctx, "s") }, 30 * time.Second, KindOutcomeUnknown},
		{"list", func(ctx context.Context, c *Client) error { _, err := c.Connections(ctx); return err }, 30 * time.Second, KindTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				peer := &sshPeer{answer: after(never, 0, "")}
				c := bubbleClient(t, peer.round)
				begin := time.Now()
				wantKind(t, tt.call(t.Context(), c), tt.kind)
				if took := time.Since(begin); took != tt.want || peer.requests() != 1 {
					t.Errorf("%d requests in %v, want one in %v", peer.requests(), took, tt.want)
				}
			})
		})
	}
}

func TestSSH_CallsAreSerializedAndDoNotBlockOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sshPeer{answer: func(req *http.Request) (*http.Response, error) {
			if strings.HasPrefix(req.URL.Path, "/api/remote/") {
				return after(10*time.Second, 200, connectedBody)(req)
			}
			return response(200, `{"status":"ok"}`), nil
		}}
		c := bubbleClient(t, func(req *http.Request) (*http.Response, error) {
			if strings.HasPrefix(req.URL.Path, "/api/remote/") {
				return peer.round(req)
			}
			return peer.answer(req)
		})
		if c.Busy() {
			t.Error("busy without a call")
		}
		var wg sync.WaitGroup
		begin := time.Now()
		for range 3 {
			wg.Go(func() {
				if _, err := c.Connect(t.Context(), someLogin); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if _, err := c.Health(t.Context()); err != nil || !c.Busy() || time.Since(begin) != 0 {
			t.Errorf("health: %v, busy: %t, after %v", err, c.Busy(), time.Since(begin))
		}
		wg.Wait()
		if took := time.Since(begin); took != 30*time.Second || peer.maxActive != 1 || c.Busy() {
			t.Errorf("took %v, %d at once, busy: %t", took, peer.maxActive, c.Busy())
		}
	})
}

func TestSSH_CallsAreNotRetried(t *testing.T) {
	for _, status := range []int{500, 502, 504} {
		synctest.Test(t, func(t *testing.T) {
			peer := &sshPeer{answer: after(0, status, `{"detail":"Connection failed: Authentication failed."}`)}
			c := bubbleClient(t, peer.round)
			_, connect := c.Connect(t.Context(), someLogin)
			_, list := c.ListDirectory(t.Context(), connectionID, "/")
			if connect == nil || list == nil || peer.requests() != 2 {
				t.Errorf("status %d: %d requests for two calls", status, peer.requests())
			}
		})
	}
}

func TestSSH_CallContinuesWithoutItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sshPeer{answer: after(20*time.Second, 200, connectedBody)}
		c := bubbleClient(t, peer.round)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.Connect(ctx, someLogin)
		wantKind(t, err, KindOutcomeUnknown)
		if !errors.Is(err, context.DeadlineExceeded) || !c.Busy() {
			t.Errorf("%v, busy: %t", err, c.Busy())
		}
		waiting, leave := context.WithTimeout(t.Context(), 5*time.Second)
		defer leave()
		_, err = c.Connect(waiting, someLogin)
		wantKind(t, err, KindCanceled) // it never had the slot, so no login was tried
		if peer.requests() != 1 {
			t.Errorf("%d requests", peer.requests())
		}
		pass(t, 10*time.Second)
		synctest.Wait()
		if c.Busy() {
			t.Error("busy after the answer")
		}
	})
}

func TestSSH_ReadWithoutCallersIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sshPeer{answer: after(20*time.Second, 200, `{"sessions":[]}`)}
		c := bubbleClient(t, peer.round)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Connections(ctx)
		wantKind(t, err, KindCanceled)
		synctest.Wait()
		if !c.Busy() {
			t.Error("the Viewer is still at work")
		}
		done, stop := context.WithCancel(t.Context())
		stop()
		_, err = c.Connect(done, someLogin)
		wantKind(t, err, KindCanceled)
		pass(t, 20*time.Second)
		synctest.Wait()
	})
}

func TestSSH_DistinguishesSilentPeersFromClosedConnections(t *testing.T) {
	for _, tt := range []struct {
		took time.Duration
		want Kind
	}{{15 * time.Second, KindSSHTimeout}, {time.Second, KindSSHUnreachable}} {
		synctest.Test(t, func(t *testing.T) {
			peer := &sshPeer{answer: after(tt.took, 500, `{"detail":"Connection failed: Error reading SSH protocol banner"}`)}
			_, err := bubbleClient(t, peer.round).Connect(t.Context(), someLogin)
			wantKind(t, err, tt.want)
		})
	}
}

func TestSSH_IdenticalReadsAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sshPeer{answer: after(time.Second, 200, `{"sessions":[]}`)}
		c := bubbleClient(t, peer.round)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := c.Sessions(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if peer.requests() != 1 {
			t.Errorf("%d requests", peer.requests())
		}
	})
}
