// Package demotest extends the demo Viewer for tests: they can add and change runs and
// count requests, and get the answers of real Viewers that the demo lacks. It also lists
// the requests that a demo Viewer must answer like a real one, and compares answers by
// their shape. The server does not import it.
package demotest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// Generation names a Viewer release whose behavior the demo copies.
type Generation = demoviewer.Generation

type (
	answer = demoviewer.Answer
	call   = demoviewer.Call
)

// The generations that the demo supports.
const (
	Gen05 = demoviewer.Gen05
	Gen06 = demoviewer.Gen06
	Gen07 = demoviewer.Gen07
)

// Generations lists the supported generations, oldest first.
func Generations() []Generation { return demoviewer.Generations() }

// Config configures a Viewer. The zero value is a 0.7.2 Viewer with the sample runs.
type Config struct {
	Generation Generation       // a full release or its first two numbers; empty means Gen07
	Clock      func() time.Time // nil means [time.Now]
	Live       bool             // adds a run that keeps training
	Empty      bool             // leaves the sample runs out
	LogWait    time.Duration    // poll interval of the log WebSocket for a missing file; 2 s when zero, as in real Viewers
}

// Viewer is a demo Viewer for tests. It is safe for concurrent use.
type Viewer struct {
	*demoviewer.Viewer
	logWait time.Duration

	mu      sync.Mutex // guards counts and sockets
	counts  map[string]int
	sockets sockets

	// State of the process of a real Viewer, guarded by the lock of the demo.
	settings  settings
	artifacts artifactChanges
}

// New returns a Viewer, or an error if the generation is unknown.
func New(cfg Config) (*Viewer, error) {
	v := &Viewer{
		logWait: cmp.Or(cfg.LogWait, 2*time.Second), counts: map[string]int{}, sockets: sockets{open: map[*websocket.Conn]bool{}},
		artifacts: artifactChanges{deleted: map[string]bool{}, stages: map[string]string{}},
	}
	var err error
	v.Viewer, err = demoviewer.New(demoviewer.Config{
		Generation: cfg.Generation, Clock: cfg.Clock, Live: cfg.Live, Empty: cfg.Empty, Before: v.before,
	})
	return v, err
}

// ServeHTTP answers one request like the Viewer.
func (v *Viewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if demoviewer.IsSocket(r) {
		v.serveSocket(w, r)
		return
	}
	v.Viewer.ServeHTTP(w, r)
}

// Requests returns how often a route was called, by method and route template as in
// /openapi.json, for example "GET /api/runs/{run_id}". Requests that match no route count
// as the method and "*".
func (v *Viewer) Requests(route string) int { return v.AllRequests()[route] }

// AllRequests returns the counts of all called routes.
func (v *Viewer) AllRequests() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.counts)
}

func (v *Viewer) count(route string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counts[route]++
}

// handlers are the answers that the server's demo does not need. They return false if the
// demo is to answer.
var handlers = map[string]func(*Viewer, *call) (answer, bool){
	"GET /api/runs/{run_id}/metrics":      metricTable,
	"GET /api/runs/{run_id}/metrics_step": metricTable,
	"GET /api/runs/{run_id}/images":       runImages,
	"GET /api/runs/{run_id}/artifacts":    runArtifacts,

	"POST /api/paths/soft-delete":                           deletePath,
	"GET /api/artifacts":                                    listArtifacts,
	"GET /api/artifacts/stats":                              artifactStats,
	"GET /api/artifacts/{artifact_name}/versions":           listVersions,
	"GET /api/artifacts/{artifact_name}/v{version}":         readVersion,
	"GET /api/artifacts/{artifact_name}/v{version}/files":   readVersion,
	"GET /api/artifacts/{artifact_name}/v{version}/lineage": readVersion,
	"DELETE /api/artifacts/{artifact_name}/v{version}":      deleteVersion,
	"POST /api/artifacts/{name}/v{version}/promote":         promoteVersion,
	"GET /api/config/ssh_connections":                       listSSH,
	"POST /api/config/ssh_connections":                      saveSSH,
	"DELETE /api/config/ssh_connections/{key}":              deleteSSH,
	"POST /api/remote/connect":                              connect,
	"POST /api/remote/viewer/start":                         connect,
	"GET /api/remote/known-hosts/list":                      listHostKeys,
	"POST /api/remote/known-hosts/accept":                   acceptHostKey,
	"POST /api/remote/known-hosts/remove":                   removeHostKey,
}

// before counts a request, and answers those that the server's demo does not support.
func (v *Viewer) before(c *call) (answer, bool) {
	v.count(c.Route)
	if a, known := v.refused(c); known {
		return a, true
	}
	if handle := handlers[c.Route]; handle != nil {
		return handle(v, c)
	}
	return answer{}, false
}

// refused repeats how the real Viewer refused the same request, if it refused the form,
// which depends on nothing else. Requests without a required field are refused even if they
// were not captured.
func (v *Viewer) refused(c *call) (answer, bool) {
	for _, known := range v.Captured() {
		ranges := c.Request.Header.Get("Range")
		isForm := known.Status == http.StatusUnprocessableEntity || known.Status == http.StatusBadRequest && known.Method == http.MethodGet
		if (isForm || ranges == "bytes=-0") && known.Method == c.Request.Method && known.Path == c.Request.URL.RequestURI() &&
			known.SentHeaders["Range"] == ranges && sameJSON(known.Send, c.Body) {
			return v.Replay(known), true
		}
	}
	fields := c.Fields()
	for _, name := range required[c.Route] {
		isLate := v.Release() == Gen07 && (name == "host" || name == "username")
		if fields[name] == nil && !isLate {
			return demoviewer.Detail(http.StatusUnprocessableEntity, []map[string]any{
				{"type": "missing", "loc": []string{"body", name}, "msg": "Field required", "input": nil},
			}), true
		}
	}
	return answer{}, false
}

// required are the required fields of bodies. 0.7 reports a missing host only when it
// connects.
var required = map[string][]string{
	"POST /api/runs/move":                           {"run_ids", "target_path"},
	"POST /api/artifacts/{name}/v{version}/promote": {"to_stage"},
	"POST /api/remote/connect":                      {"host", "username"},
	"POST /api/remote/disconnect":                   {"host", "username"},
	"POST /api/remote/viewer/start":                 {"host", "username", "remote_root"},
	"POST /api/remote/viewer/stop":                  {"session_id"},
	"POST /api/remote/known-hosts/accept":           {"host", "port", "key_type", "public_key", "fingerprint_sha256"},
	"POST /api/remote/known-hosts/remove":           {"host", "port", "key_type"},
}

// sameJSON reports whether two texts differ only in white space.
func sameJSON(a, b []byte) bool {
	compact := func(text []byte) []byte {
		var out bytes.Buffer
		if json.Compact(&out, text) != nil {
			return bytes.TrimSpace(text)
		}
		return out.Bytes()
	}
	return bytes.Equal(compact(a), compact(b))
}
