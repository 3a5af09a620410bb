package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// load is the clients, and the outcomes of their calls.
type load struct {
	front   *rig.Front
	viewers *viewers

	mu      sync.Mutex
	calls   map[string]int // by kind
	excused map[string]int // errors by kind and reason, while a Viewer was down
	failed  map[string]int // all other errors
}

// worker is one client: what it does repeatedly, and the pause in between.
type worker struct {
	kind  string
	count int
	pause time.Duration
	do    func(l *load, ctx context.Context, viewer, runID string) error
}

var workers = []worker{
	{"list", 2, 500 * time.Millisecond, (*load).list},
	{"list of all", 1, time.Second, (*load).listAll},
	{"filter", 1, 2 * time.Second, (*load).filter},
	{"history", 3, 500 * time.Millisecond, (*load).history},
	{"tail", 60, 200 * time.Millisecond, (*load).tail},
	{"export", 1, 2 * time.Second, (*load).export},
}

// start starts the clients, and returns the function that waits for their end.
func (l *load) start(ctx context.Context) (wait func()) {
	var all sync.WaitGroup
	for _, w := range workers {
		for range w.count {
			all.Go(func() { l.work(ctx, w) })
		}
	}
	return all.Wait
}

func (l *load) work(ctx context.Context, w worker) {
	for ctx.Err() == nil {
		viewer := l.viewers.names[rand.IntN(len(l.viewers.names))] //nolint:gosec // any will do
		runs := l.viewers.runs[viewer]
		err := w.do(l, ctx, viewer, runs[rand.IntN(len(runs))].RunID) //nolint:gosec // any will do
		if ctx.Err() != nil {
			return
		}
		if w.kind == "list of all" || w.kind == "filter" {
			viewer = "" // any of them may be the cause
		}
		l.note(w.kind, viewer, err)
		_ = rig.Pause(ctx, w.pause)
	}
}

// note records the outcome of a call.
func (l *load) note(kind, viewer string, err error) {
	excused := l.viewers.wasDown(viewer)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[kind]++
	switch {
	case err == nil:
	case excused:
		l.excused[kind+": "+reason(err)]++
	default:
		l.failed[kind+": "+reason(err)+": "+err.Error()]++
	}
}

func reason(err error) string {
	return cmp.Or(apierr.ReasonOf(status.Convert(err)), status.Code(err).String())
}

// report prints the outcomes.
func (l *load) report(out io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(l.calls)) {
		fmt.Fprintf(out, "  %6d × %s\n", l.calls[kind], kind)
	}
	for _, text := range slices.Sorted(maps.Keys(l.excused)) {
		fmt.Fprintf(out, "  %6d × %s, while its Viewer was restarted\n", l.excused[text], text)
	}
}

// err returns the calls that failed while no Viewer was down.
func (l *load) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for text, n := range l.failed {
		errs = append(errs, fmt.Errorf("%d × %s", n, text))
	}
	return errors.Join(errs...)
}

func (l *load) list(ctx context.Context, viewer, _ string) error {
	_, err := l.front.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Viewer: viewer})
	return err
}

func (l *load) listAll(ctx context.Context, _, _ string) error {
	_, err := l.front.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Viewer: "-"})
	return err
}

func (l *load) filter(ctx context.Context, viewer, _ string) error {
	_, err := l.front.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{
		Viewer: viewer, Filter: "metrics.loss.last < 1000", OrderBy: "metrics.accuracy.last desc",
	})
	return err
}

func (l *load) history(ctx context.Context, viewer, runID string) error {
	stream, err := l.front.Metrics.StreamMetrics(ctx, &runicornapiv1.StreamMetricsRequest{Viewer: viewer, RunIds: []string{runID}})
	if err != nil {
		return err
	}
	return rig.Drain(stream)
}

// tail follows a run for some seconds, and resumes it once by its token.
func (l *load) tail(ctx context.Context, viewer, runID string) error {
	token := ""
	for range 2 {
		err := l.tailOnce(ctx, &runicornapiv1.TailMetricsRequest{Viewer: viewer, RunIds: []string{runID}, ResumeToken: token}, &token)
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *load) tailOnce(ctx context.Context, req *runicornapiv1.TailMetricsRequest, token *string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.front.Metrics.TailMetrics(ctx, req)
	if err != nil {
		return err
	}
	leaveAt := time.Now().Add(time.Duration(2+rand.IntN(10)) * time.Second) //nolint:gosec // any will do
	for time.Now().Before(leaveAt) {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		*token = m.GetResumeToken()
	}
	return nil
}

func (l *load) export(ctx context.Context, viewer, runID string) error {
	formats := []runicornapiv1.ExportFormat{
		runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET, runicornapiv1.ExportFormat_EXPORT_FORMAT_JSON,
	}
	stream, err := l.front.Experiments.ExportExperiment(ctx, &runicornapiv1.ExportExperimentRequest{
		Viewer: viewer, RunId: runID, Format: formats[rand.IntN(len(formats))], //nolint:gosec // any will do
	})
	if err != nil {
		return err
	}
	return rig.Drain(stream)
}
