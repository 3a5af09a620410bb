package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestFlight_ReadsAMillionRows of six metrics in pyarrow, DuckDB and polars, and compares
// with the Parquet export. It takes long, so only make full runs it.
func TestFlight_ReadsAMillionRows(t *testing.T) {
	t.Parallel()
	if os.Getenv("RUNICORN_PYTHON_PAIRS") != "all" {
		t.Skip("make full runs it")
	}
	install, storage := realviewer.Require(t, realviewer.V072), t.TempDir()
	run, err := realviewer.WriteRun(storage, realviewer.V072, realviewer.RunSpec{
		Project: "large", Name: "run", Lines: realviewer.Curve(time.Now(), 1_000_000, "loss", "acc", "lr", "grad_norm", "val/loss", "val/acc"),
	})
	if err != nil {
		t.Fatal(err)
	}
	viewer := realviewer.MustStart(t, install, realviewer.Options{Storage: storage})
	if err := viewer.AwaitRuns(t.Context(), run.RunID); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, "--viewer=v07="+viewer.URL())
	if out, err := flightClient(t.Context(), t, "large", s.grpcAddr, s.httpAddr, "v07", run.RunID).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
