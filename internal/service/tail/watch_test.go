package tail

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// watcher is a client of WatchExperiments.
type watcher struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[runicornapiv1.WatchExperimentsResponse]
	synced *runicornapiv1.Synced
	known  map[string]string // run ids to etags
	events []string
}

// startWatch connects a new client.
func startWatch(t *testing.T, h *servicetest.Harness, req *runicornapiv1.WatchExperimentsRequest) *watcher {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tailTimeout)
	t.Cleanup(cancel)
	stream, err := h.Experiments.WatchExperiments(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return &watcher{t: t, stream: stream, known: map[string]string{}}
}

// next receives the next message but heartbeats.
func (w *watcher) next() *runicornapiv1.WatchExperimentsResponse {
	w.t.Helper()
	for {
		m, err := w.stream.Recv()
		if err != nil {
			w.t.Fatalf("the watch ended by %v after %q", err, w.events)
		}
		switch e := m.GetEvent().(type) {
		case *runicornapiv1.WatchExperimentsResponse_Snapshot:
			for _, x := range e.Snapshot.GetExperiments() {
				w.known[x.GetRunId()] = x.GetEtag()
			}
		case *runicornapiv1.WatchExperimentsResponse_Synced:
			w.synced = e.Synced
		case *runicornapiv1.WatchExperimentsResponse_Created:
			w.known[e.Created.GetRunId()] = e.Created.GetEtag()
			w.events = append(w.events, "created "+e.Created.GetRunId())
		case *runicornapiv1.WatchExperimentsResponse_Updated:
			w.known[e.Updated.GetRunId()] = e.Updated.GetEtag()
			w.events = append(w.events, "updated "+e.Updated.GetRunId())
		case *runicornapiv1.WatchExperimentsResponse_Deleted:
			delete(w.known, e.Deleted.GetRunId())
			w.events = append(w.events, "deleted "+e.Deleted.GetRunId())
		case *runicornapiv1.WatchExperimentsResponse_Heartbeat:
			continue
		}
		return m
	}
}

// sync receives the snapshot.
func (w *watcher) sync() {
	w.t.Helper()
	for w.synced == nil {
		w.next()
	}
}

func TestWatch_SnapshotAndChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t)
		u := h.Upstreams[2]
		u.AddRuns(600)
		w := startWatch(t, h, &runicornapiv1.WatchExperimentsRequest{Viewer: "v072", Filter: "project = bulk"})
		w.sync()
		if len(w.known) != 600 || w.synced.GetExperimentCount() != 600 || len(w.synced.GetUnreachable()) > 0 {
			t.Fatalf("a snapshot of %d, synced %v", len(w.known), w.synced)
		}
		id := u.AddRun(demotest.Run{Project: "bulk", Name: "n"})
		u.AddRun(demotest.Run{Project: "other", Name: "n"})
		w.next()
		servicetest.SetStatus(t, u, id, "failed")
		w.next()
		if _, err := h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{Viewer: "v072", RunIds: []string{id}}); err != nil {
			t.Fatal(err)
		}
		w.next()
		if want := []string{"created " + id, "updated " + id, "deleted " + id}; !slices.Equal(w.events, want) {
			t.Errorf("events %q, want %q", w.events, want)
		}
	})
}

// TestWatch_ALargeSnapshotComesInParts: a message of all would be too large.
func TestWatch_ALargeSnapshotComesInParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		const runs = 120
		for range runs {
			h.Upstreams[0].AddRun(demotest.Run{Path: "large", Status: "finished", Tags: []string{strings.Repeat("t", 40<<10)}})
		}
		w := startWatch(t, h, &runicornapiv1.WatchExperimentsRequest{Filter: `path:"large"`})
		w.sync()
		if len(w.known) != runs || w.synced.GetExperimentCount() != runs {
			t.Errorf("a snapshot of %d, synced %v", len(w.known), w.synced)
		}
	})
}

// TestWatch_AllViewers: one that is down is named, and its experiments follow.
func TestWatch_AllViewers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t)
		down := h.Upstreams[0]
		down.Fail(http.StatusInternalServerError)
		w := startWatch(t, h, &runicornapiv1.WatchExperimentsRequest{Viewer: "-"})
		w.sync()
		if n := len(w.synced.GetUnreachable()); n != 1 || w.synced.GetUnreachable()[0].GetViewer() != "v053" || len(w.known) == 0 {
			t.Errorf("synced %v", w.synced)
		}
		down.Restored()
		if m := w.next(); m.GetCreated() == nil || m.GetViewer() != "v053" {
			t.Errorf("got %v", m)
		}
	})
}

func TestWatch_Failures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		begins := make(chan struct{})
		drained := replica(t, h, func(d *Config) { d.Drain = drain.New(begins) })
		w := startWatch(t, drained, &runicornapiv1.WatchExperimentsRequest{HeartbeatInterval: durationpb.New(time.Second)})
		w.sync()
		u := h.Upstreams[0]
		u.Fail(http.StatusInternalServerError)
		for {
			m, err := w.stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if m.GetHeartbeat().GetUpstreamState() == runicornapiv1.UpstreamState_UPSTREAM_STATE_FAILING {
				break
			}
		}
		late := startWatch(t, h, &runicornapiv1.WatchExperimentsRequest{})
		var err error
		for err == nil {
			_, err = late.stream.Recv()
		}
		apierrtest.WantError(t, err, codes.Internal, "VIEWER_ERROR")
		close(begins)
		for err = nil; err == nil; {
			_, err = w.stream.Recv()
		}
		apierrtest.WantError(t, err, codes.Unavailable, "SERVER_DRAINING")
	})
}

// TestWatch_SharesOnePoller: many watchers cost the Viewer what one costs.
func TestWatch_SharesOnePoller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		watchers := make([]*watcher, 50)
		for i := range watchers {
			watchers[i] = startWatch(t, h, &runicornapiv1.WatchExperimentsRequest{})
		}
		for _, w := range watchers {
			w.sync()
		}
		id := u.AddRun(demotest.Run{Project: "p", Name: "n"})
		for _, w := range watchers {
			w.next()
			if !slices.Equal(w.events, []string{"created " + id}) {
				t.Errorf("events %q", w.events)
			}
		}
		if n := u.Requests("GET /api/runs"); n > 5 {
			t.Errorf("%d requests for the list", n)
		}
	})
}
