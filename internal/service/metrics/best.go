package metrics

import (
	"cmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
)

// candidate is an experiment with the point that is compared.
type candidate struct {
	entry *runs.Entry
	search.Point
}

// findBest returns the best of the experiments that have a record; among equal values,
// that of the lowest step, then that of the oldest experiment. Values that are not finite
// are ignored, even as the last value: on 0.5.3 they cannot be told from values that were
// never logged, and the result must not depend on the generation of the Viewer.
func findBest(req *runicornapiv1.FindBestExperimentRequest, entries []runs.Entry) *runicornapiv1.FindBestExperimentResponse {
	sign := 1.0 // -1 if lower values are better
	point := (*search.Metric).Max
	if req.GetGoal() == runicornapiv1.Goal_GOAL_MINIMIZE {
		sign, point = -1, (*search.Metric).Min
	}
	if req.GetRanking() == runicornapiv1.Ranking_RANKING_LAST {
		point = (*search.Metric).LastFinite
	}
	resp := &runicornapiv1.FindBestExperimentResponse{}
	var best candidate
	for i := range entries {
		if entries[i].Record == nil {
			continue
		}
		resp.ExaminedCount++
		kinds := entries[i].Record.Named(req.GetMetricName())
		if len(kinds) == 0 || kinds[0].Kind != eventlog.KindNumber {
			continue
		}
		p, ok := point(&kinds[0])
		if !ok {
			continue
		}
		resp.CandidateCount++
		if c := (candidate{&entries[i], p}); best.entry == nil || c.compare(&best, sign) < 0 {
			best = c
		}
	}
	if best.entry == nil {
		return resp
	}
	resp.Experiment, resp.Value, resp.Step = best.entry.Experiment(), &best.Value, &best.Step
	if best.Time != 0 {
		resp.Time = convert.UnixTime(best.Time)
	}
	return resp
}

// compare orders candidates, the better one first.
func (c *candidate) compare(d *candidate, sign float64) int {
	return cmp.Or(cmp.Compare(sign*d.Value, sign*c.Value), cmp.Compare(c.Step, d.Step), oldestFirst(c.entry, d.entry))
}

// oldestFirst orders by creation time; unknown times come last.
func oldestFirst(a, b *runs.Entry) int {
	if a.Run.CreatedTime.IsZero() != b.Run.CreatedTime.IsZero() {
		if a.Run.CreatedTime.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(
		a.Run.CreatedTime.Compare(b.Run.CreatedTime.Time),
		cmp.Compare(a.Viewer.Name, b.Viewer.Name),
		cmp.Compare(a.Run.ID, b.Run.ID),
	)
}
