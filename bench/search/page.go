package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// measurePage measures a page of full experiments among many runs, twice.
func measurePage(ctx context.Context, out io.Writer, b *bench) (err error) {
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.open(ctx, out, kind{name: "page", runs: *pageRuns, minRows: 200, maxRows: 300, perPath: 50}, true); err != nil {
		return err
	}
	if _, err := b.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{PageSize: 1}); err != nil {
		return err // the list is cached now
	}
	for _, when := range []string{"at first", "again"} {
		start, before := time.Now(), b.requests()
		var missing int
		_, theirs, err := b.Costs(func() error {
			resp, err := b.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{
				PageSize: 50, View: runicornapiv1.ExperimentView_EXPERIMENT_VIEW_FULL,
			})
			for _, e := range resp.GetExperiments() {
				missing += len(e.GetMissing())
			}
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  a page of 50 in full, %s: %v (goal: 600ms), %d parts missing; CPU of the Viewer %v; requests about runs: %d, about their path: %d\n",
			when, time.Since(start).Round(time.Millisecond), missing, theirs, b.requests().runs-before.runs, b.requests().paths-before.paths)
	}
	return nil
}

// requests are numbers of requests to the Viewer.
type requests struct{ runs, paths int }

func (b *bench) requests() requests {
	return requests{b.totalReads(b.runs), b.Proxy.Requests(http.MethodGet, "/api/paths/export")}
}
