package compat

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// maxPoints is the maximum number of points in one response, about 130 MiB here and 300
// MiB as JSON. The client needs many times that memory.
const maxPoints = 4 << 20

// errTooManyPoints is the error for a response with more points.
var errTooManyPoints = &problem{
	status: http.StatusRequestEntityTooLarge, Reason: reasonTooLarge,
	Detail: "the metrics have more than 4194304 points; ask for some metrics only, or set a limit",
}

// points is the finite numbers of one metric. The client's examples and helpers take the
// maximum of them and make columns of them, so other values are left out.
type points struct {
	steps  []int64
	times  []float64 // empty if the Viewer has no times
	values []float64
	exact  map[int]string // the digits of integers that a double rounds
}

// table holds the points by metric. A metric without points is left out, since max fails
// for an empty list.
type table struct {
	runID    string
	fidelity runicornapiv1.Fidelity
	limit    int // maximum number of points per metric; 0 means all
	size     int
	metrics  map[string]*points
}

// getMetrics gets the merged view of an experiment's metrics.
func (c *compat) getMetrics(ctx context.Context, in *input) (answer, error) {
	limit, err := in.count("limit")
	if err != nil {
		return nil, err
	}
	req := &runicornapiv1.GetMetricsRequest{RunId: in.id}
	if names := in.query.Get("metrics"); names != "" {
		req.MetricNames = strings.Split(names, ",")
	}
	if limit > 0 {
		req.Limit = new(int32(limit)) //nolint:gosec // count reads 31 bits
	}
	out := &table{limit: limit, metrics: make(map[string]*points)}
	resp, err := c.metrics.GetMetrics(ctx, req)
	switch {
	case hasReason(err, reasonTooLarge):
		return out, c.streamMetrics(ctx, req, out)
	case err != nil:
		return nil, err
	}
	out.runID, out.fidelity = resp.GetRunId(), resp.GetFidelity()
	return out, out.add(resp.GetSeries())
}

// streamMetrics reads the same points as a stream, if they do not fit into one message.
func (c *compat) streamMetrics(ctx context.Context, req *runicornapiv1.GetMetricsRequest, out *table) error {
	stream, err := c.metrics.StreamMetrics(ctx, &runicornapiv1.StreamMetricsRequest{
		RunIds: []string{req.GetRunId()}, MetricNames: req.GetMetricNames(), Order: runicornapiv1.StreamOrder_STREAM_ORDER_MERGED,
	})
	if err != nil {
		return err
	}
	for complete := false; ; {
		msg, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && complete:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the stream of metrics ends without a trailer")
		case err != nil:
			return err
		case msg.GetTrailer() != nil:
			complete = true
			continue
		}
		out.runID, out.fidelity = msg.GetRunId(), msg.GetBatch().GetFidelity()
		if err := out.add(msg.GetBatch().GetSeries()); err != nil {
			return err
		}
	}
}

// add appends the finite numbers of all series.
func (t *table) add(series []*runicornapiv1.MetricSeries) error {
	for _, s := range series {
		if s.GetKind() != runicornapiv1.MetricKind_METRIC_KIND_NUMBER {
			continue
		}
		p := t.metrics[s.GetMetricName()]
		if p == nil {
			p = &points{exact: make(map[int]string)}
		}
		t.size += p.add(s, t.limit)
		if len(p.values) > 0 {
			t.metrics[s.GetMetricName()] = p
		}
		if t.size > maxPoints {
			return errTooManyPoints
		}
	}
	return nil
}

// add appends the finite points of a series up to the limit, and returns how many were
// appended.
func (p *points) add(s *runicornapiv1.MetricSeries, limit int) int {
	before, exact := len(p.values), s.GetExact()
	for i, v := range s.GetValues() {
		digits := ""
		if len(exact) > 0 && int(exact[0].GetIndex()) == i {
			digits, exact = exact[0].GetDecimal(), exact[1:]
		}
		if !isFinite(v) {
			continue
		}
		if limit > 0 && len(p.values) == limit {
			break
		}
		if digits != "" {
			p.exact[len(p.values)] = digits
		}
		p.steps = append(p.steps, s.GetSteps()[i])
		p.values = append(p.values, v)
		if i < len(s.GetTimes()) {
			p.times = append(p.times, s.GetTimes()[i])
		}
	}
	return len(p.values) - before
}

// names returns the metrics in order, so that equal data gives equal bytes.
func (t *table) names() []string { return slices.Sorted(maps.Keys(t.metrics)) }
