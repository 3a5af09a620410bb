package service

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search/searchtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// randomRuns adds runs to a Viewer, and returns what an independent reader says of them.
func randomRuns(rng *rand.Rand, u *servicetest.Upstream, n int, isTable bool) []*searchtest.Run {
	var runs []*searchtest.Run
	for i := range n {
		events := searchtest.RandomLog(rng)
		spec := demoviewer.Run{
			ID: fmt.Sprintf("20260301_1200%02d_%06x", i%60, i), Path: fmt.Sprintf("p/%d", i%3), Project: "p", Name: fmt.Sprint(i % 3),
			Status: "finished", Created: servicetest.Day(1).Add(time.Duration(i) * time.Second), Events: events,
		}
		r := &searchtest.Run{ID: spec.ID, Log: realviewer.ParseLog(events).Ended(), IsTable: isTable}
		if i%3 > 0 && !isTable {
			k := rng.IntN(9)
			spec.Summary = fmt.Appendf(nil, `{"best": %d.5, "note": "warmup", "ok": %t, "nan": NaN, "big": 1152921504606846977, "list": [1]}`, k, i%2 == 0)
			r.Summary = map[string]any{"best": float64(k) + 0.5, "note": "warmup", "ok": i%2 == 0, "nan": math.NaN(), "big": big.NewInt(1<<60 + 1)}
			spec.Assets = fmt.Appendf(nil, `{"code": {}, "config": {"args": {"lr": %d, "model": {"depth": %d}}, "extra": {"name": "warmup", "lr": 99}}}`, k-3, k)
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
	for _, generation := range demoviewer.Generations() {
		t.Run(string(generation), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(len(generation))))
			h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, generation)
			runs := randomRuns(rng, h.Upstreams[0], 40, generation == demoviewer.Gen05)
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
