package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search/searchtest"
)

// Random filters and orders are compared with the oracle, over runs that the SDKs of all
// three generations have written.
func TestSearch_AgreesWithTheOracle(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		rng := rand.New(rand.NewPCG(7, uint64(len(viewer))))
		var runs []searchtest.Run
		names := map[string]bool{"never": true}
		for key, run := range seeded.Manifest.Runs {
			if run.Status == "running" || key == realviewer.KeyCrashed {
				continue // it grows, or its Viewer reports another status than the SDK
			}
			runs = append(runs, oracleRun(run, seeded.Manifest.Version))
			log, err := realviewer.ReadLog(run.EventFile)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range log.Names() {
				names[name] = true
			}
		}
		sorted := slices.Sorted(maps.Keys(names))
		var terms []string
		for _, r := range runs {
			terms = append(terms, "run_id = "+filter.Quote(r.ID))
		}
		searchRandomly(t, s, viewer, strings.Join(terms, " OR "), runs, sorted, rng)
	})
}

// randomFilters is the number of random filters that a test tries: 50, or
// RUNICORN_RANDOM_FILTERS.
func randomFilters(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("RUNICORN_RANDOM_FILTERS"), "50"))
	if err != nil {
		t.Fatalf("RUNICORN_RANDOM_FILTERS: %v", err)
	}
	return n
}

// searchRandomly sends random searches for the runs that a filter selects, and compares the
// responses with the oracle.
func searchRandomly(t *testing.T, s *server, viewer, selected string, runs []searchtest.Run, names []string, rng *rand.Rand) {
	t.Helper()
	oracle := searchtest.NewOracle(t)
	for range randomFilters(t) {
		term, order := searchtest.RandomTerm(rng, names, 1), searchtest.RandomOrder(rng, names)
		resp, err := s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{
			Viewer: viewer, Filter: "(" + selected + ") AND (" + term.Text + ")", OrderBy: order.Text, PageSize: 1000,
		})
		if err != nil || !resp.GetComplete() {
			t.Fatalf("%s: %v, %v", term.Text, err, resp.GetNotRead())
		}
		if got, want := runIDs(resp), oracle.Expect(t, runs, term, order); !slices.Equal(got, want) {
			t.Fatalf("filter %s\norder %s\ngot  %v\nwant %v", term.Text, order.Text, got, want)
		}
	}
}

func runIDs(resp *runicornapiv1.ListExperimentsResponse) (ids []string) {
	for _, e := range resp.GetExperiments() {
		ids = append(ids, e.GetRunId())
	}
	return ids
}

// oracleRun converts a run for the oracle.
func oracleRun(run realviewer.Run, version realviewer.Version) searchtest.Run {
	return searchtest.Run{ID: run.RunID, EventFile: run.EventFile, Dir: run.Dir, IsTable: !version.HasPaths()}
}

// There are enough runs for reads of several together. The steps of some are not in order.
func TestSearch_ReadsManyRunsOfRealViewers(t *testing.T) {
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			install, storage := realviewer.Require(t, version), t.TempDir()
			rng := rand.New(rand.NewPCG(11, 12))
			var runs []searchtest.Run
			for i := range 60 {
				run := writeRandomRun(t, rng, storage, version, realviewer.RunSpec{Name: fmt.Sprintf("n%d", i/20), Created: time.Now().Add(time.Duration(i) * time.Second)})
				runs = append(runs, oracleRun(run, version))
			}
			viewer, err := realviewer.Start(t.Context(), install, realviewer.Options{Storage: storage})
			if err != nil {
				t.Fatal(err)
			}
			defer viewer.Close()
			s := mustStart(t, "--viewer="+viewer.URL())
			searchRandomly(t, s, "", "path:p", runs, searchtest.Names, rng)
		})
	}
}

// writeRandomRun writes a run with a random event file.
func writeRandomRun(t *testing.T, rng *rand.Rand, storage string, version realviewer.Version, spec realviewer.RunSpec) realviewer.Run {
	t.Helper()
	events := searchtest.RandomLog(rng)
	spec.Project = "p"
	spec.Lines = func(yield func([]byte) bool) {
		for line := range bytes.Lines(events) {
			if !yield(bytes.TrimSuffix(line, []byte("\n"))) {
				return
			}
		}
	}
	run, err := realviewer.WriteRun(storage, version, spec)
	if err != nil {
		t.Fatal(err)
	}
	return run
}
