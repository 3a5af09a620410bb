package servicetest

import (
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

// SixIDs are the ids of AddSix.
var SixIDs = []string{
	"20260301_120000_000001", "20260302_120000_000002", "20260303_120000_000003",
	"20260304_120000_000004", "20260305_120000_000005", "20260305_120000_000006",
}

// Day returns noon of the n-th day of March 2026.
func Day(n int) time.Time { return time.Date(2026, 3, n, 12, 0, 0, 0, time.UTC) }

// AddSix adds six runs, which tests call r1 to r6 by the last digit of their ids.
func AddSix(u *Upstream) {
	for _, run := range []demotest.Run{
		{ID: "20260301_120000_000001", Path: "vision/resnet", Alias: "Baseline", Tags: []string{"big", "gpu"}, Status: "finished", Created: Day(1)},
		{ID: "20260302_120000_000002", Path: "vision/resnet", Tags: []string{"big"}, Status: "failed", Created: Day(2)},
		{ID: "20260303_120000_000003", Path: "vision", Status: "running", Created: Day(3)},
		{ID: "20260304_120000_000004", Path: "visions/other", Status: "completed", Created: Day(4)},
		{ID: "20260305_120000_000005", Path: "nlp/bert/large", Alias: "альфа", Status: "finished", Created: Day(5)},
		{ID: "20260305_120000_000006", Path: "nlp/bert/large", Status: "finished", Created: Day(5)},
	} {
		u.AddRun(run)
	}
}

// ShortIDs returns the runs by the last digits of their ids, in their order.
func ShortIDs(experiments []*runicornapiv1.Experiment) string {
	var out []byte
	for _, e := range experiments {
		out = append(out, e.GetRunId()[len(e.GetRunId())-1])
	}
	return string(out)
}

// SetStatus sets a run's status.
func SetStatus(tb testing.TB, u *Upstream, runID, status string) {
	tb.Helper()
	if err := u.SetStatus(runID, status); err != nil {
		tb.Fatal(err)
	}
}
