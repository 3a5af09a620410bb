package e2e

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestTailFilter_DeliversMoreRunsThanItFollows: 70 runs that have ended, whose ids are
// too long for 64 of them in a token, over two streams, each point once.
func TestTailFilter_DeliversMoreRunsThanItFollows(t *testing.T) {
	t.Parallel()
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			const runs = 70
			install := realviewer.Require(t, version)
			storage := t.TempDir()
			ids := map[string]int{}
			start := time.Now().Add(-time.Hour)
			for i := range runs {
				run, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{
					RunID: fmt.Sprintf("20260101_%06d_%s%02d", 120000+i, "a-long-name-of-a-run-that-somebody-gave-to-it-", i), Project: "many", Name: "n",
					Created: start.Add(time.Duration(i) * time.Second), Lines: realviewer.Curve(start, 3, "loss"),
				})
				if err != nil {
					t.Fatal(err)
				}
				ids[run.RunID] = 0
			}
			viewer := realviewer.MustStart(t, install, realviewer.Options{Storage: storage})
			s := mustStart(t, append([]string{"--viewer=lab=" + viewer.URL()}, quickTails...)...)
			req := &runicornapiv1.TailMetricsRequest{Filter: "run_id:*", Until: runicornapiv1.TailUntil_TAIL_UNTIL_RUN_FINISHED}
			ends := 0
			receive := func(limit int) error {
				stream, err := s.metrics.TailMetrics(t.Context(), req)
				if err != nil {
					return err
				}
				for ends < limit {
					m, err := stream.Recv()
					if err != nil {
						return err
					}
					req.ResumeToken = m.GetResumeToken()
					for _, series := range m.GetBatch().GetSeries() {
						ids[m.GetRunId()] += len(series.GetSteps())
					}
					if m.GetEnd() != nil {
						ends++
					}
				}
				return nil
			}
			if err := receive(30); err != nil {
				t.Fatal(err)
			}
			if err := receive(runs + 1); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			for id, n := range ids {
				if n != 3 {
					t.Errorf("%d points of %s", n, id)
				}
			}
			if ends != runs || len(ids) != runs {
				t.Errorf("%d ends, %d runs", ends, len(ids))
			}
		})
	}
}
