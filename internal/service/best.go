package service

import (
	"cmp"
	"slices"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
)

// judged is the point that stands for an experiment.
type judged struct {
	value float64
	step  int64
	time  float64 // unix seconds, 0 if unknown
}

// judge is one FindBestExperiment.
type judge struct {
	selection eventlog.Selection
	byLast    bool
	sign      float64   // what makes the greater value the better one
	points    []*judged // by experiment, nil without a finite value; each is written by one reader
}

func newJudge(req *runicornapiv1.FindBestExperimentRequest, runs int) *judge {
	j := &judge{
		selection: eventlog.Selection{Names: []string{req.GetMetricName()}},
		byLast:    req.GetRanking() == runicornapiv1.Ranking_RANKING_LAST,
		sign:      1,
		points:    make([]*judged, runs),
	}
	if req.GetGoal() == runicornapiv1.Goal_GOAL_MINIMIZE {
		j.sign = -1
	}
	return j
}

// read finds the point that stands for one experiment. Values that are not
// finite do not count, not even as the last one: on 0.5.3 nobody can tell them
// from values that were never logged, and an experiment must not be judged by
// the Viewer that it is on.
func (j *judge) read(i int, v *runlog.View) error {
	for _, s := range v.Table.Series(j.selection) {
		if s.Kind == eventlog.KindNumber {
			keepFinite(&s)
			j.points[i] = j.point(&s)
		}
	}
	return nil
}

// point is the last point of a series, or its best one: among equals the
// earliest.
func (j *judge) point(s *eventlog.Series) *judged {
	if s.Len() == 0 {
		return nil
	}
	at := s.Len() - 1
	if !j.byLast {
		at = 0
		for i, value := range s.Values {
			if j.sign*value > j.sign*s.Values[at] {
				at = i
			}
		}
	}
	return &judged{value: s.Values[at], step: s.Steps[at], time: s.Times[at]}
}

// verdict finds the best experiment: among equals the one of the earliest step,
// then the oldest.
func (j *judge) verdict(entries []entry) *runicornapiv1.FindBestExperimentResponse {
	var candidates []int
	for i, point := range j.points {
		if point != nil {
			candidates = append(candidates, i)
		}
	}
	resp := &runicornapiv1.FindBestExperimentResponse{CandidateCount: clamp32(int64(len(candidates)))}
	if len(candidates) == 0 {
		return resp
	}
	best := slices.MinFunc(candidates, func(a, b int) int {
		p, q := j.points[a], j.points[b]
		return cmp.Or(cmp.Compare(j.sign*q.value, j.sign*p.value), cmp.Compare(p.step, q.step), oldestFirst(&entries[a], &entries[b]))
	})
	point := j.points[best]
	resp.Experiment, resp.Value, resp.Step = entries[best].experiment(), &point.value, &point.step
	if point.time != 0 {
		resp.Time = unixTime(point.time)
	}
	return resp
}

// oldestFirst orders by age, unknown ages last.
func oldestFirst(a, b *entry) int {
	if a.run.CreatedTime.IsZero() != b.run.CreatedTime.IsZero() {
		if a.run.CreatedTime.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(
		a.run.CreatedTime.Compare(b.run.CreatedTime.Time),
		cmp.Compare(a.viewer.Name, b.viewer.Name),
		cmp.Compare(a.run.ID, b.run.ID),
	)
}
