package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search/searchtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// randomRuns adds runs to a Viewer, and returns where the oracle finds the same files.
func randomRuns(t *testing.T, rng *rand.Rand, u *servicetest.Upstream, n int, isTable bool) []searchtest.Run {
	t.Helper()
	var runs []searchtest.Run
	for i := range n {
		spec := demotest.Run{
			ID: fmt.Sprintf("20260301_1200%02d_%06x", i%60, i), Path: fmt.Sprintf("p/%d", i%3), Project: "p", Name: strconv.Itoa(i % 3),
			Status: "finished", Created: servicetest.Day(1).Add(time.Duration(i) * time.Second), Events: searchtest.RandomLog(rng),
		}
		files := map[string][]byte{"events.jsonl": spec.Events}
		if i%3 > 0 && !isTable {
			k := rng.IntN(9)
			spec.Summary = fmt.Appendf(nil, `{"best": %d.5, "note": "warmup", "ok": %t, "nan": NaN, "big": 1152921504606846977, "list": [1]}`, k, i%2 == 0)
			assets := fmt.Appendf(nil, `{"code": {}, "config": {"args": {"lr": %d, "model": {"depth": %d}}, "extra": {"name": "warmup", "lr": 99}}}`, k-3, k)
			spec.Files = map[string][]byte{"assets.json": assets}
			files["summary.json"], files["assets.json"] = spec.Summary, assets
		}
		u.AddRun(spec)
		dir := t.TempDir()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		runs = append(runs, searchtest.Run{ID: spec.ID, EventFile: filepath.Join(dir, "events.jsonl"), Dir: dir, IsTable: isTable})
	}
	return runs
}

func idsOf(experiments []*runicornapiv1.Experiment) []string {
	ids := make([]string, len(experiments))
	for i, e := range experiments {
		ids[i] = e.GetRunId()
	}
	return ids
}

// TestSearchAgreesWithASlowReader compares random filters and orders over random runs with
// what Python makes of their files, in every generation.
func TestSearchAgreesWithASlowReader(t *testing.T) {
	for _, generation := range demotest.Generations() {
		t.Run(string(generation), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(len(generation))))
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, generation)
			runs, oracle := randomRuns(t, rng, h.Upstreams[0], 40, generation == demotest.Gen05), searchtest.NewOracle(t)
			for range 150 {
				term, order := searchtest.RandomTerm(rng, searchtest.Names, 2), searchtest.RandomOrder(rng, searchtest.Names)
				resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Filter: term.Text, OrderBy: order.Text})
				if err != nil {
					t.Fatalf("%s: %v", term.Text, err)
				}
				if got, want := idsOf(resp.GetExperiments()), oracle.Expect(t, runs, term, order); !slices.Equal(got, want) {
					t.Fatalf("filter %s\norder %s\ngot  %v\nwant %v", term.Text, order.Text, got, want)
				}
				if !resp.GetComplete() || len(resp.GetNotRead()) > 0 {
					t.Fatalf("not complete: %v", resp.GetNotRead())
				}
			}
		})
	}
}

// TestSearchWhileRunsChange searches while runs grow, end, are reopened, renamed, deleted
// and restored: no call fails, and after the changes the responses agree with a slow
// reader.
func TestSearchWhileRunsChange(t *testing.T) {
	for _, generation := range []demotest.Generation{demotest.Gen06, demotest.Gen07} {
		t.Run(string(generation), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(9, 9))
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers, client: func(c *restclient.Config) { c.Share = 1 }}, generation)
			u := h.Upstreams[0]
			runs, oracle := randomRuns(t, rng, u, 30, false), searchtest.NewOracle(t)
			asking, stop := context.WithCancel(t.Context())
			var askers sync.WaitGroup
			for i := range 3 {
				random := rand.New(rand.NewPCG(uint64(i), 1))
				askers.Go(func() {
					for asking.Err() == nil {
						term := searchtest.RandomTerm(random, searchtest.Names, 2)
						if _, err := h.Experiments.ListExperiments(asking, &runicornapiv1.ListExperimentsRequest{Filter: term.Text}); err != nil && asking.Err() == nil {
							t.Errorf("%s: %v", term.Text, err)
						}
					}
				})
			}
			for range 150 {
				changeRun(t, rng, h, runs[rng.IntN(len(runs))])
			}
			for _, r := range runs { // all exist, and have ended with another status than before
				_, _ = h.Experiments.RestoreExperiments(t.Context(), &runicornapiv1.RestoreExperimentsRequest{RunIds: []string{r.ID}})
				servicetest.SetStatus(t, u, r.ID, "interrupted")
			}
			stop()
			askers.Wait()
			for range 20 {
				term := searchtest.RandomTerm(rng, searchtest.Names, 1)
				want := oracle.Expect(t, runs, term, searchtest.ByID())
				for { // fields that are requested for the first time are read in the background
					resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Filter: term.Text, OrderBy: "run_id"})
					if err != nil {
						t.Fatal(err)
					}
					if slices.Equal(idsOf(resp.GetExperiments()), want) && resp.GetComplete() {
						break
					}
					if t.Context().Err() != nil {
						t.Fatalf("filter %s\ngot  %v\nwant %v", term.Text, idsOf(resp.GetExperiments()), want)
					}
				}
			}
		})
	}
}

func appendTo(t *testing.T, path string, text []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// changeRun does one thing to a run, and to the file of the slow reader.
func changeRun(t *testing.T, rng *rand.Rand, h *servicetest.Harness, r searchtest.Run) {
	t.Helper()
	u := h.Upstreams[0]
	switch rng.IntN(6) {
	case 0, 1:
		more := searchtest.RandomLog(rng)
		more = more[:bytes.LastIndexByte(more, '\n')+1]
		if u.AppendEvents(r.ID, append([]byte("\n"), more...)) == nil { // a blank line ends one without a newline
			appendTo(t, r.EventFile, append([]byte("\n"), more...))
		}
	case 2:
		_ = u.SetStatus(r.ID, []string{"running", "finished", "failed"}[rng.IntN(3)])
	case 3:
		alias := fmt.Sprint("alias ", rng.IntN(100))
		_, _ = h.Experiments.UpdateExperiment(t.Context(), &runicornapiv1.UpdateExperimentRequest{
			Experiment: &runicornapiv1.Experiment{RunId: r.ID, Alias: &alias}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"alias"}},
		})
	case 4:
		_, _ = h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{RunIds: []string{r.ID}})
	case 5:
		_, _ = h.Experiments.RestoreExperiments(t.Context(), &runicornapiv1.RestoreExperimentsRequest{RunIds: []string{r.ID}})
	}
}
