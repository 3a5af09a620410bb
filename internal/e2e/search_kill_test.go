package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search/searchtest"
)

// The server is killed at random times while it reads runs, some of which grow, and writes
// its state. The responses of the next server must agree with the oracle, whatever state it
// finds.
func TestSearch_SurvivesKillsOfTheServer(t *testing.T) {
	for _, version := range []realviewer.Version{realviewer.V060, realviewer.V072} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			install, storage, state := realviewer.Require(t, version), t.TempDir(), t.TempDir()
			rng := rand.New(rand.NewPCG(31, 32))
			var runs []realviewer.Run
			for i := range 60 {
				spec := realviewer.RunSpec{Name: fmt.Sprintf("n%d", i/20), Created: time.Now().Add(time.Duration(i-60) * time.Second)}
				if i%6 == 0 { // running, and appended to later
					spec.Status, spec.PID = "running", os.Getpid()
				}
				runs = append(runs, writeRandomRun(t, rng, storage, version, spec))
			}
			viewer := realviewer.MustStart(t, install, realviewer.Options{Storage: storage})
			for range 10 {
				killServerDuringSearches(t, rng, viewer.URL(), state, runs)
			}
			s := mustStart(t, "--viewer="+viewer.URL(), "--state-dir="+state)
			var ended, growing []searchtest.Run
			for i, run := range runs {
				if r := oracleRun(run, version); i%6 == 0 {
					growing = append(growing, r)
				} else {
					ended = append(ended, r)
				}
			}
			searchRandomly(t, s, "", "status = FINISHED", ended, searchtest.Names, rng)
			awaitCaughtUp(t, s, growing)
			searchRandomly(t, s, "", "status = RUNNING", growing, searchtest.Names, rng)
		})
	}
}

// killServerDuringSearches starts a server with a state directory, searches while runs grow,
// and kills the server within the first seconds, in which it writes the state once or twice.
func killServerDuringSearches(t *testing.T, rng *rand.Rand, viewerURL, state string, runs []realviewer.Run) {
	t.Helper()
	s, err := startServer(t.Context(), "--viewer="+viewerURL, "--state-dir="+state)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(3*time.Second))))
	defer cancel()
	for step := 0; ctx.Err() == nil; step++ {
		for i := 0; i < len(runs); i += 6 {
			appendTo(t, runs[i].EventFile, fmt.Sprintf("\n"+`{"ts": 1, "type": "metrics", "data": {"global_step": %d, "loss": %d}}`+"\n", 1000+rng.IntN(500), rng.IntN(9)))
		}
		_, _ = s.experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{OrderBy: "metrics.loss.min"}) // fails when the server is killed
	}
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// awaitCaughtUp waits until the data of running runs in responses is newer than this call.
func awaitCaughtUp(t *testing.T, s *server, runs []searchtest.Run) {
	t.Helper()
	start := time.Now()
	for {
		resp, err := s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{
			Filter: "status = RUNNING AND (metrics.loss:* OR NOT metrics.loss:*)", PageSize: 1000,
			// The filter and this order request every part that filters can use.
			OrderBy: "summary.best, config.lr",
		})
		if err != nil || len(resp.GetExperiments()) != len(runs) {
			t.Fatalf("%d of %d: %v", len(resp.GetExperiments()), len(runs), err)
		}
		if resp.GetOldestDigestTime().AsTime().After(start) {
			return
		}
	}
}
