package metrics

import (
	"cmp"
	"context"
	"slices"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
)

// candidate is the point that stands for an experiment.
type candidate struct {
	value float64
	step  int64
	time  float64 // unix seconds, 0 if unknown
}

// bestFinder is one FindBestExperiment.
type bestFinder struct {
	metric     string
	byLast     bool
	sign       float64      // what makes the greater value the better one
	candidates []*candidate // by experiment, nil without a finite value; each is written by one reader
}

func newBestFinder(req *runicornapiv1.FindBestExperimentRequest, runs int) *bestFinder {
	f := &bestFinder{
		metric:     req.GetMetricName(),
		byLast:     req.GetRanking() == runicornapiv1.Ranking_RANKING_LAST,
		sign:       1,
		candidates: make([]*candidate, runs),
	}
	if req.GetGoal() == runicornapiv1.Goal_GOAL_MINIMIZE {
		f.sign = -1
	}
	return f
}

// read finds the point that stands for one experiment. Values that are not
// finite do not count, not even as the last one: on 0.5.3 nobody can tell them
// from values that were never logged, and an experiment must not be judged by
// the Viewer that it is on.
func (f *bestFinder) read(_ context.Context, run int, v *runcache.View) error {
	samples, err := v.ReadMetric(f.metric, eventlog.Query{MaxPoints: 1}) // which leaves the extremes and the last one
	if err != nil {
		return err
	}
	for i := range samples {
		if s := &samples[i].Series; s.Kind == eventlog.KindNumber {
			keepFinite(s)
			f.candidates[run] = f.candidateOf(s)
		}
	}
	return nil
}

// candidateOf is the last point of a series, or its best one: among equals the
// earliest.
func (f *bestFinder) candidateOf(s *eventlog.Series) *candidate {
	if s.Len() == 0 {
		return nil
	}
	at := s.Len() - 1
	if !f.byLast {
		at = 0
		for i, value := range s.Values {
			if f.sign*value > f.sign*s.Values[at] {
				at = i
			}
		}
	}
	return &candidate{value: s.Values[at], step: s.Steps[at], time: s.Times[at]}
}

// result finds the best experiment: among equals the one of the earliest step,
// then the oldest.
func (f *bestFinder) result(entries []runs.Entry) *runicornapiv1.FindBestExperimentResponse {
	var found []int
	for i, point := range f.candidates {
		if point != nil {
			found = append(found, i)
		}
	}
	resp := &runicornapiv1.FindBestExperimentResponse{CandidateCount: convert.Clamp32(int64(len(found)))}
	if len(found) == 0 {
		return resp
	}
	best := slices.MinFunc(found, func(a, b int) int {
		p, q := f.candidates[a], f.candidates[b]
		return cmp.Or(cmp.Compare(f.sign*q.value, f.sign*p.value), cmp.Compare(p.step, q.step), oldestFirst(&entries[a], &entries[b]))
	})
	point := f.candidates[best]
	resp.Experiment, resp.Value, resp.Step = entries[best].Experiment(), &point.value, &point.step
	if point.time != 0 {
		resp.Time = convert.UnixTime(point.time)
	}
	return resp
}

// oldestFirst orders by age, unknown ages last.
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
