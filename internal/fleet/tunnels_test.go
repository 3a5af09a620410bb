package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// viewerFake answers as a 0.7 Viewer with the sessions that the test sets. It is a
// transport, so that it works with fake time.
type viewerFake struct {
	mu       sync.Mutex
	sessions []map[string]any
	asked    int           // requests for the sessions
	delay    time.Duration // before each answer
	status   int           // of every answer, if not 0
	stopped  []string
}

func (v *viewerFake) set(sessions ...map[string]any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sessions = sessions
}

func (v *viewerFake) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked
}

// RoundTrip answers the three routes that the fleet uses.
func (v *viewerFake) RoundTrip(req *http.Request) (*http.Response, error) {
	v.mu.Lock()
	delay := v.delay
	v.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var body any
	switch req.URL.Path {
	case "/openapi.json":
		body = map[string]any{"info": map[string]any{"version": "0.7.2"}, "paths": map[string]any{
			"/api/remote/viewer/sessions": map[string]any{"get": map[string]any{}},
			"/api/remote/viewer/stop":     map[string]any{"post": map[string]any{}},
		}}
	case "/api/remote/viewer/sessions":
		v.asked++
		body = map[string]any{"sessions": v.sessions}
	case "/api/remote/viewer/stop":
		var asked map[string]string
		if err := json.NewDecoder(req.Body).Decode(&asked); err != nil {
			return nil, err
		}
		v.stopped = append(v.stopped, asked["session_id"])
		body = map[string]any{"ok": true}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if v.status != 0 {
		status = v.status
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", Request: req, Body: io.NopCloser(bytes.NewReader(text)),
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(text)),
	}, nil
}

func fakeSession(id string, port int, active bool) map[string]any {
	return map[string]any{"sessionId": id, "localPort": port, "status": "running", "isActive": active}
}

// newFleet returns a fleet of one fake Viewer on loopback, "lab".
func newFleet(t *testing.T, fake *viewerFake) *Fleet {
	t.Helper()
	return newFleetAt(t, fake, "http://127.0.0.1:23300")
}

func newFleetAt(t *testing.T, fake *viewerFake, at string) *Fleet {
	t.Helper()
	f, err := New([]Entry{{Name: "lab", URL: at}}, restclient.Config{Transport: fake})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func names(viewers []*Viewer) (out []string) {
	for _, v := range viewers {
		out = append(out, v.Name)
	}
	return out
}

func TestGet_FindsTunneledViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &viewerFake{}
		f := newFleet(t, fake)
		if _, err := f.Get(t.Context(), "lab.abc"); err == nil {
			t.Fatal("a session that is not there is a viewer")
		}
		fake.set(fakeSession("abc", 8081, true))
		time.Sleep(time.Millisecond)            //nolint:forbidigo // fake time
		v, err := f.Get(t.Context(), "lab.abc") // like another replica, which has not queried yet
		if err != nil || v.Name != "lab.abc" || v.Client.BaseURL() != "http://127.0.0.1:8081" || v.Parent.Name != "lab" {
			t.Fatalf("got %v, %v", v, err)
		}
		if again, err := f.Get(t.Context(), "lab.abc"); again != v || err != nil {
			t.Errorf("the same name is another viewer: %v, %v", again, err)
		}
		if got := names(f.All(t.Context())); !slices.Equal(got, []string{"lab", "lab.abc"}) {
			t.Errorf("all are %q", got)
		}
		fake.set(fakeSession("abc", 8081, false))
		time.Sleep(getMaxAge + time.Millisecond) //nolint:forbidigo // fake time
		_, err = f.Get(t.Context(), "lab.abc")
		if ended, ok := errors.AsType[*EndedError](err); !ok || ended.Status != "running" {
			t.Errorf("a session that does not work: %v", err)
		}
		fake.set()
		time.Sleep(listMaxAge + time.Millisecond) //nolint:forbidigo // fake time
		if got := names(f.All(t.Context())); !slices.Equal(got, []string{"lab"}) {
			t.Errorf("after the end all are %q", got)
		}
		_, err = f.Get(t.Context(), "lab.abc")
		if _, ok := errors.AsType[*UnknownError](err); !ok {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestGet_LimitsQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &viewerFake{delay: 10 * time.Millisecond}
		f := newFleet(t, fake)
		var asking sync.WaitGroup
		for range 200 {
			asking.Go(func() { _, _ = f.Get(t.Context(), "lab.none") })
		}
		asking.Wait()
		for range 20 {
			_, _ = f.Get(t.Context(), "lab.none")
		}
		if n, most := fake.count(), 24; n > most {
			t.Errorf("220 calls asked %d times, want at most %d", n, most)
		}
		before := fake.count()
		begun := time.Now()
		for range 50 {
			f.All(t.Context())
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // fake time
		}
		if n, most := fake.count()-before, int(time.Since(begun)/listMaxAge)+1; n > most {
			t.Errorf("lists asked %d times, want at most %d", n, most)
		}
		for _, name := range []string{"lab.", "lab.a/b", "lab.a.b", "other.abc", "."} {
			if _, err := f.Get(t.Context(), name); err == nil {
				t.Errorf("%q is a viewer", name)
			}
		}
	})
}

func TestAll_OmitsAViewerThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &viewerFake{delay: 20 * time.Second}
		f := newFleet(t, fake)
		begun := time.Now()
		if got := names(f.All(t.Context())); !slices.Equal(got, []string{"lab"}) {
			t.Errorf("all are %q", got)
		}
		if took := time.Since(begun); took > listTimeout {
			t.Errorf("took %v", took)
		}
		begun = time.Now()
		f.All(t.Context())
		if took := time.Since(begun); took > 0 {
			t.Errorf("the next one waited for the same answer for %v", took)
		}
		_, err := f.Get(t.Context(), "lab.abc")
		if e, ok := errors.AsType[*restclient.Error](err); !ok || e.Kind != restclient.KindTimeout || e.Viewer != "lab" {
			t.Errorf("a name that cannot be looked up: %v", err)
		}
	})
}

func TestAdd_NeedsNoQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &viewerFake{}
		f := newFleet(t, fake)
		changed := f.Changed()
		var s restclient.Session
		s.ID, s.Active, s.LocalPort = "new", true, restclient.Int{Value: 8082, Known: true}
		f.All(t.Context())
		f.Add(f.Configured()[0], s)
		<-changed
		asked := fake.count()
		if _, err := f.Get(t.Context(), "lab.new"); err != nil || fake.count() != asked {
			t.Errorf("%v, after %d queries", err, fake.count()-asked)
		}
		if err := f.StopStarted(t.Context()); err != nil || !slices.Equal(fake.stopped, []string{"new"}) {
			t.Errorf("stopped %q, %v", fake.stopped, err)
		}
		if _, err := f.Get(t.Context(), "lab.new"); err == nil {
			t.Error("it is there after its end")
		}
		if err := f.StopStarted(t.Context()); err != nil || len(fake.stopped) != 1 {
			t.Errorf("it was stopped twice: %q, %v", fake.stopped, err)
		}
	})
}

func TestReach_ExplainsUnreachableTunnels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, at, want string }{
		{"on loopback", "http://localhost:1", ""},
		{"on another machine", "http://gpu.example.org:1", "loopback of the machine of viewer lab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fake := &viewerFake{sessions: []map[string]any{fakeSession("abc", 8081, true)}}
			f := newFleetAt(t, fake, tt.at)
			var s restclient.Session
			s.ID, s.Active, s.LocalPort = "abc", true, restclient.Int{Value: 8081, Known: true}
			name, why := f.Reach(f.Configured()[0], s)
			if (tt.want == "") != (name == "lab.abc") || !strings.Contains(why, tt.want) || (tt.want == "" && why != "") {
				t.Errorf("got %q, %q", name, why)
			}
			_, err := f.Get(t.Context(), "lab.abc")
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("get: %v", err)
			}
			if all := f.All(context.Background()); (len(all) == 2) != (tt.want == "") {
				t.Errorf("all are %q", names(all))
			}
			s.Active = false
			if name, why := f.Reach(f.Configured()[0], s); name != "" || why == "" {
				t.Errorf("a dead session is called %q, %q", name, why)
			}
			f.IgnoreTunnels()
			if _, err := f.Get(t.Context(), "lab.abc"); err == nil {
				t.Error("an ignored tunnel is a viewer")
			}
		})
	}
}
