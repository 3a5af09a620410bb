package remote

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// otherMachine has requests to any machine reach one server.
type otherMachine struct {
	http.Transport
	host string
}

func (e *otherMachine) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = e.host
	return e.Transport.RoundTrip(r)
}

func TestStartViewer_ReportsATunnelOnAnotherMachineAsUnreachable(t *testing.T) {
	t.Parallel()
	h := newHarness(t, servicetest.Setup{}, nil, demotest.Gen07)
	h.Upstreams[0].Replace(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/remote/viewer/start" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"ok": true, "session": {"sessionId": "abcd1234", "localPort": 8081, "status": "running", "isActive": true}}`)
		return true
	})
	far, err := fleet.New([]fleet.Entry{{Name: "far", URL: "http://workstation.example.org:23300"}},
		restclient.Config{Transport: &otherMachine{host: strings.TrimPrefix(h.Upstreams[0].Server.URL, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.Close)
	got, err := h.Replica(t, register(func(c *Config) { c.Fleet = far })).Remote.StartViewer(t.Context(), &runicornapiv1.StartViewerRequest{Target: gpu(), RemoteRoot: "/r"})
	if err != nil {
		t.Fatal(err)
	}
	if s := got.GetSession(); s.GetSessionId() != "abcd1234" || s.GetViewer() != "" || !strings.Contains(s.GetUnreachableReason(), "another one") {
		t.Errorf("the session is %v", s)
	}
}

// delayedListener hangs up on its first callers, as a tunnel does that leads nowhere yet.
type delayedListener struct {
	net.Listener
	shy int
}

func (l *delayedListener) Accept() (net.Conn, error) {
	for ; l.shy > 0; l.shy-- {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := conn.Close(); err != nil {
			return nil, err
		}
	}
	return l.Listener.Accept()
}

// TestStartViewer_WaitsForItsTunnel: what answers late is reached, and if it is
// another Viewer, that is seen.
func TestStartViewer_WaitsForItsTunnel(t *testing.T) {
	t.Parallel()
	h := newHarness(t, servicetest.Setup{}, nil, demotest.Gen07)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	remote := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"status": "ok", "version": "0.7.2", "storage": "/of/another"}`)
	}))

	defer remote.Listener.Close()                   // the one that it was made with
	remote.Listener = &delayedListener{listener, 8} // more than one question tries
	remote.Start()
	t.Cleanup(remote.Close)
	session := fmt.Sprintf(`{"sessionId": "abcd1234", "localPort": %d, "status": "running", "isActive": true}`, listener.Addr().(*net.TCPAddr).Port)
	fake := &servicetest.SSHFake{}
	h.Upstreams[0].Replace(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/remote/viewer/start" {
			return fake.Serve(w, r)
		}
		fake.Mu.Lock()
		defer fake.Mu.Unlock()
		fake.Sessions = []string{session}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"ok": true, "session": %s}`, session)
		return true
	})
	_, err = h.Remote.StartViewer(t.Context(), &runicornapiv1.StartViewerRequest{Target: gpu(), RemoteRoot: "/r", RemotePort: new(int32(9999))})
	apierrtest.WantError(t, err, codes.FailedPrecondition, "REMOTE_PORT_TAKEN")
	if calls := fake.Changed(); !slices.Contains(calls, "viewer/stop") {
		t.Errorf("calls %q: the session of the other Viewer was not stopped", calls)
	}
}
