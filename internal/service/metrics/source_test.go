package metrics

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

func TestMetrics_AgainstABadConnection(t *testing.T) {
	const n = 5000
	events := servicetest.CurveLines(n, func(step int) float64 { return float64(step) })
	count := func(t *testing.T, h *servicetest.Harness, id string) (int, error) {
		t.Helper()
		resp, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{RunId: id})
		if err != nil {
			return 0, err
		}
		return len(resp.GetSeries()[0].GetSteps()), nil
	}
	isFile := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/assets/download") }
	t.Run("a body that is cut is resumed", func(t *testing.T) {
		h := newHarness(t, demotest.Gen07)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(events)})
		var cuts atomic.Int32
		u.Replace(func(w http.ResponseWriter, r *http.Request) bool {
			if !isFile(r) || cuts.Add(1) > 1 {
				return false
			}
			u.Viewer.ServeHTTP(&cutWriter{ResponseWriter: w, left: len(events) / 2}, r)
			return true
		})
		if got, err := count(t, h, id); err != nil || got != n {
			t.Errorf("%d points, %v", got, err)
		}
	})
	t.Run("a Viewer that ignores ranges is read whole", func(t *testing.T) {
		h := newHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(events)})
		u.Replace(func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			return false
		})
		if got, err := count(t, h, id); err != nil || got != n {
			t.Errorf("%d points, %v", got, err)
		}
	})
	t.Run("a Viewer that fails is an error, and right again afterwards", func(t *testing.T) {
		h := newHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(events)})
		if _, err := count(t, h, id); err != nil {
			t.Fatal(err)
		}
		u.Fail(http.StatusInternalServerError)
		_, err := count(t, h, id)
		apierrtest.WantError(t, err, codes.Internal, "VIEWER_ERROR")
		u.Restored()
		if err := u.AppendEvents(id, []byte(servicetest.MetricsLine(n, `"loss": 1`))); err != nil {
			t.Fatal(err)
		}
		if got, err := count(t, h, id); err != nil || got != n+1 {
			t.Errorf("%d points, %v", got, err)
		}
	})
}

// cutWriter breaks the connection after so many bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	if w.left -= n; w.left == 0 {
		if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
			return n, err
		}
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestMetrics_AppendedBytesOnly(t *testing.T) {
	h := newHarness(t, demotest.Gen06)
	u := h.Upstreams[0]
	id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.CurveLines(20_000, func(step int) float64 { return float64(step) }))})
	var sent atomic.Int64
	u.Replace(func(w http.ResponseWriter, r *http.Request) bool {
		u.Viewer.ServeHTTP(&countingWriter{ResponseWriter: w, n: &sent}, r)
		return true
	})
	req := &runicornapiv1.GetMetricsRequest{RunId: id, Last: new(int32(1))}
	if _, err := h.Metrics.GetMetrics(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	appended := strings.Repeat(servicetest.MetricsLine(20_000, `"loss": -1`), 10)
	if err := u.AppendEvents(id, []byte(appended)); err != nil {
		t.Fatal(err)
	}
	sent.Store(0)
	resp, err := h.Metrics.GetMetrics(t.Context(), req)
	if err != nil || resp.GetSeries()[0].GetValues()[0] != -1 {
		t.Fatalf("%v, %v", resp, err)
	}
	if extra := sent.Load() - int64(len(appended)); extra > 4<<10 {
		t.Errorf("%d bytes beyond what was appended", extra)
	}
}

// countingWriter counts the bytes of bodies.
type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}
