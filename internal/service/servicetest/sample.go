package servicetest

import (
	"strings"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// SampleRun returns the sample run with the most content: images, assets, artifacts.
func SampleRun(tb testing.TB, h *Harness, viewer string) string {
	tb.Helper()
	v, err := h.Config.Fleet.Get(tb.Context(), viewer)
	if err != nil {
		tb.Fatal(err)
	}
	list, err := v.Client.Runs(tb.Context())
	if err != nil {
		tb.Fatalf("find the sample run: %v", err)
	}
	var oldest *restclient.Run
	for i := range list.Runs {
		run := &list.Runs[i]
		path := run.Path.Value
		if !run.Path.Known {
			path = run.Project.Value + "/" + run.Name.Value
		}
		if strings.Contains(path, "vision/resnet") && (oldest == nil || run.CreatedTime.Before(oldest.CreatedTime.Time)) {
			oldest = run
		}
	}
	if oldest == nil {
		tb.Fatal("there is no sample run")
	}
	return oldest.ID
}

// UnknownRun is the id of a run that does not exist.
const UnknownRun = "20200101_000000_abcdef"

// EmptyViewers is a setup of demo Viewers without the sample runs.
func EmptyViewers(cfg *demotest.Config) { cfg.Empty = true }
