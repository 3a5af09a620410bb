package service

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
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

// randomRuns adds runs to a Viewer, and returns the results of an independent reader.
func randomRuns(rng *rand.Rand, u *servicetest.Upstream, n int, isTable bool) []*searchtest.Run {
	var runs []*searchtest.Run
	for i := range n {
		events := searchtest.RandomLog(rng)
		spec := demotest.Run{
			ID: fmt.Sprintf("20260301_1200%02d_%06x", i%60, i), Path: fmt.Sprintf("p/%d", i%3), Project: "p", Name: strconv.Itoa(i % 3),
			Status: "finished", Created: servicetest.Day(1).Add(time.Duration(i) * time.Second), Events: events,
		}
		r := searchtest.NewRun(spec.ID, events)
		r.IsTable = isTable
		if i%3 > 0 && !isTable {
			k := rng.IntN(9)
			spec.Summary = fmt.Appendf(nil, `{"best": %d.5, "note": "warmup", "ok": %t, "nan": NaN, "big": 1152921504606846977, "list": [1]}`, k, i%2 == 0)
			r.Summary = map[string]any{"best": float64(k) + 0.5, "note": "warmup", "ok": i%2 == 0, "nan": math.NaN(), "big": big.NewInt(1<<60 + 1)}
			assets := fmt.Appendf(nil, `{"code": {}, "config": {"args": {"lr": %d, "model": {"depth": %d}}, "extra": {"name": "warmup", "lr": 99}}}`, k-3, k)
			spec.Files = map[string][]byte{"assets.json": assets}
			r.Config = map[string]any{"lr": big.NewInt(int64(k - 3)), "model.depth": big.NewInt(int64(k)), "name": "warmup"}
		}
		u.AddRun(spec)
		runs = append(runs, r)
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
// an independent reader of their files, in every generation.
func TestSearchAgreesWithASlowReader(t *testing.T) {
	for _, generation := range demotest.Generations() {
		t.Run(string(generation), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(len(generation))))
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, generation)
			runs := randomRuns(rng, h.Upstreams[0], 40, generation == demotest.Gen05)
			for range 150 {
				term := searchtest.RandomTerm(rng, searchtest.Names, 2)
				order, compare := searchtest.RandomOrder(rng, searchtest.Names)
				resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Filter: term.Text, OrderBy: order})
				if err != nil {
					t.Fatalf("%s: %v", term.Text, err)
				}
				if got, want := idsOf(resp.GetExperiments()), searchtest.Expect(runs, term.Match, compare); !slices.Equal(got, want) {
					t.Fatalf("filter %s\norder %s\ngot  %v\nwant %v", term.Text, order, got, want)
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
			runs := randomRuns(rng, u, 30, false)
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
				want := searchtest.Expect(runs, term.Match, func(a, b *searchtest.Run) int { return cmp.Compare(a.ID, b.ID) })
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

// changeRun changes a run, and updates the slow reader.
func changeRun(t *testing.T, rng *rand.Rand, h *servicetest.Harness, r *searchtest.Run) {
	t.Helper()
	u := h.Upstreams[0]
	switch rng.IntN(6) {
	case 0, 1:
		more := searchtest.RandomLog(rng)
		more = more[:bytes.LastIndexByte(more, '\n')+1]
		if u.AppendEvents(r.ID, append([]byte("\n"), more...)) == nil { // a blank line ends one without a newline
			r.Append(append([]byte("\n"), more...))
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
