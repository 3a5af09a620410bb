package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// watcher is a client of WatchExperiments that records the events of runs.
type watcher struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[runicornapiv1.WatchExperimentsResponse]
	events []string // "created 20260101_000000_abcdef RUNNING"
	synced bool
}

func (w *watcher) recv() {
	w.t.Helper()
	m, err := w.stream.Recv()
	if err != nil {
		w.t.Fatalf("after %q: %v", w.events, err)
	}
	report := func(what string, e *runicornapiv1.Experiment) {
		w.events = append(w.events, what+" "+e.GetRunId()+" "+strings.TrimPrefix(e.GetStatus().String(), "EXPERIMENT_STATUS_"))
	}
	for _, e := range m.GetSnapshot().GetExperiments() {
		report("snapshot", e)
	}
	if e := m.GetCreated(); e != nil {
		report("created", e)
	}
	if e := m.GetUpdated(); e != nil {
		report("updated", e)
	}
	if d := m.GetDeleted(); d != nil {
		w.events = append(w.events, "deleted "+d.GetRunId())
	}
	w.synced = w.synced || m.GetSynced() != nil
}

// until receives until an event was received, and requires it exactly once.
func (w *watcher) until(event string) {
	w.t.Helper()
	for !slices.Contains(w.events, event) {
		w.recv()
	}
}

// watches follows the list while a run starts, ends, is deleted and restored.
func (l *trainLab) watches(t *testing.T) {
	before, _ := l.open(t, "watched_before")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := l.servers[0].experiments.WatchExperiments(ctx, &runicornapiv1.WatchExperimentsRequest{
		Filter: "watched",
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{t: t, stream: stream}
	for !w.synced {
		w.recv()
	}
	if want := []string{"snapshot " + before.RunID + " RUNNING"}; !slices.Equal(w.events, want) {
		t.Errorf("the snapshot is %q, want %q", w.events, want)
	}
	fresh, _ := l.open(t, "watched_fresh")
	w.until("created " + fresh.RunID + " RUNNING")
	l.finish(t, "watched_fresh", "finished")
	w.until("updated " + fresh.RunID + " FINISHED")
	if _, err := l.servers[1].experiments.DeleteExperiments(ctx, &runicornapiv1.DeleteExperimentsRequest{RunIds: []string{fresh.RunID}}); err != nil {
		t.Fatal(err)
	}
	w.until("deleted " + fresh.RunID)
	if _, err := l.servers[1].experiments.RestoreExperiments(ctx, &runicornapiv1.RestoreExperimentsRequest{RunIds: []string{fresh.RunID}}); err != nil {
		t.Fatal(err)
	}
	w.until("created " + fresh.RunID + " FINISHED")
	for _, event := range w.events {
		if strings.Contains(event, fresh.RunID) || strings.Contains(event, before.RunID) {
			continue
		}
		t.Errorf("%q is not of the filter", event)
	}
}
