package servicetest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// SSHFake simulates the SSH state of a Viewer: the demo Viewers have no SSH server to
// connect to. Tests with a real one are in internal/e2e.
type SSHFake struct {
	Mu          sync.Mutex
	Connections []string // user@host:port
	Sessions    []string // JSON
	calls       []string // the changes that were requested
	bodies      []string
	Failure     string // detail of the 500 with which connect and start answer
}

// Serve answers the routes over SSH.
func (f *SSHFake) Serve(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/api/remote/") || strings.Contains(r.URL.Path, "known-hosts") {
		return false
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.Method == http.MethodPost {
		f.calls = append(f.calls, strings.TrimPrefix(r.URL.Path, "/api/remote/"))
		f.bodies = append(f.bodies, string(body))
	}
	connections := make([]string, 0, len(f.Connections))
	for _, id := range f.Connections {
		user, address, _ := strings.Cut(id, "@")
		host, port, _ := strings.Cut(address, ":")
		connections = append(connections, fmt.Sprintf(`{"key":%q,"host":%q,"port":%s,"username":%q,"connected":true}`, id, host, port, user))
	}
	w.Header().Set("Content-Type", "application/json")
	switch strings.TrimPrefix(r.URL.Path, "/api/remote/") {
	case "sessions":
		fmt.Fprintf(w, `{"sessions":[%s]}`, strings.Join(connections, ","))
	case "status":
		fmt.Fprintf(w, `{"connections":[%s],"viewer_sessions":[%s]}`, strings.Join(connections, ","), strings.Join(f.Sessions, ","))
	case "viewer/sessions":
		fmt.Fprintf(w, `{"sessions":[%s]}`, strings.Join(f.Sessions, ","))
	case "conda-envs":
		fmt.Fprint(w, `{"ok":true,"envs":[{"name":"base"},{"name":"system"}]}`)
	case "disconnect", "viewer/stop":
		fmt.Fprint(w, `{"ok":true}`)
	default:
		if f.Failure != "" {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, `{"detail":%q}`, f.Failure+string(body))
			return true
		}
		fmt.Fprint(w, `{"ok":true,"connected":true,"connection_id":"u@gpu:22","host":"gpu","port":22,"username":"u"}`)
	}
	return true
}

// SetSessions replaces the sessions of the Viewer.
func (f *SSHFake) SetSessions(texts []string) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.Sessions = texts
}

// Changed returns the changes that were requested.
func (f *SSHFake) Changed() []string {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	return append([]string{}, f.calls...)
}
