package compat

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

const numberKind = runicornapiv1.MetricKind_METRIC_KIND_NUMBER

var series = []*runicornapiv1.MetricSeries{
	{
		MetricName: "loss", Kind: numberKind, Steps: []int64{-1, 2, 3, 4}, Times: []float64{10.5, 11, 12, 13},
		Values: []float64{1e6, math.NaN(), 1 << 60, 0.25},
		Exact:  []*runicornapiv1.ExactInteger{{Index: 2, Decimal: "1152921504606846977"}},
	},
	{MetricName: "loss", Kind: runicornapiv1.MetricKind_METRIC_KIND_TEXT, Steps: []int64{9}, Texts: []string{"diverged"}},
	{MetricName: "never", Kind: numberKind, Steps: []int64{1}, Times: []float64{1}, Values: []float64{math.Inf(1)}},
	{MetricName: "flag", Kind: runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN, Steps: []int64{1}, Times: []float64{1}, Values: []float64{1}},
	{MetricName: "timeless \"学\"", Kind: numberKind, Steps: []int64{1}, Values: []float64{5e-324}},
}

const seriesJSON = `{"run_id": "r", "fidelity": "event_log", "metrics": {
	"loss": [{"step": -1, "value": 1000000, "timestamp": 10.5}, {"step": 3, "value": 1152921504606846977, "timestamp": 12},
		{"step": 4, "value": 0.25, "timestamp": 13}],
	"timeless \"学\"": [{"step": 1, "value": 5e-324, "timestamp": null}]}}`

func TestMetricsAreTheFiniteNumbers(t *testing.T) {
	t.Parallel()
	b := &backend{unary: func(proto.Message) (proto.Message, error) {
		return &runicornapiv1.GetMetricsResponse{RunId: "r", Fidelity: runicornapiv1.Fidelity_FIDELITY_EVENT_LOG, Series: series}, nil
	}}
	got := mustSend(t, "GET", b.serve(t)+"/api/metrics/r?metrics=loss,never&limit=100", "")
	sameJSON(t, got.body, seriesJSON)
	want := &runicornapiv1.GetMetricsRequest{RunId: "r", MetricNames: []string{"loss", "never"}, Limit: proto.Int32(100)}
	if diff := cmp.Diff([]proto.Message{want}, b.calls, protocmp.Transform()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// streaming is a server that cannot answer in one message, but in batches.
func streaming(messages ...*runicornapiv1.StreamMetricsResponse) *backend {
	b := &backend{unary: func(proto.Message) (proto.Message, error) {
		return nil, failing(codes.ResourceExhausted, "ANSWER_TOO_LARGE", "too large")
	}}
	b.stream = func(req *runicornapiv1.StreamMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]) error {
		b.calls = append(b.calls, req)
		for _, m := range messages {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return nil
	}
	return b
}

func batchOf(series ...*runicornapiv1.MetricSeries) *runicornapiv1.StreamMetricsResponse {
	return &runicornapiv1.StreamMetricsResponse{RunId: "r", Event: &runicornapiv1.StreamMetricsResponse_Batch{
		Batch: &runicornapiv1.MetricBatch{Series: series, Fidelity: runicornapiv1.Fidelity_FIDELITY_EVENT_LOG},
	}}
}

var trailer = &runicornapiv1.StreamMetricsResponse{Event: &runicornapiv1.StreamMetricsResponse_Trailer{Trailer: &runicornapiv1.StreamTrailer{}}}

func TestMetricsThatDoNotFitIntoAMessageAreStreamed(t *testing.T) {
	t.Parallel()
	more := &runicornapiv1.MetricSeries{MetricName: "loss", Kind: numberKind, Steps: []int64{5}, Times: []float64{14}, Values: []float64{8}}
	b := streaming(batchOf(series...), batchOf(more), trailer)
	url := b.serve(t)
	sameJSON(t, mustSend(t, "GET", url+"/api/metrics/r?limit=1", "").body, `{"run_id": "r", "fidelity": "event_log", "metrics": {
		"loss": [{"step": -1, "value": 1000000, "timestamp": 10.5}], "timeless \"学\"": [{"step": 1, "value": 5e-324, "timestamp": null}]}}`)
	sameJSON(t, mustSend(t, "GET", url+"/api/metrics/r?metrics=loss", "").body, `{"run_id": "r", "fidelity": "event_log", "metrics": {
		"loss": [{"step": -1, "value": 1000000, "timestamp": 10.5}, {"step": 3, "value": 1152921504606846977, "timestamp": 12},
			{"step": 4, "value": 0.25, "timestamp": 13}, {"step": 5, "value": 8, "timestamp": 14}],
		"timeless \"学\"": [{"step": 1, "value": 5e-324, "timestamp": null}]}}`)
	want := &runicornapiv1.StreamMetricsRequest{
		RunIds: []string{"r"}, MetricNames: []string{"loss"}, Order: runicornapiv1.StreamOrder_STREAM_ORDER_MERGED,
	}
	if diff := cmp.Diff(proto.Message(want), b.calls[len(b.calls)-1], protocmp.Transform()); diff != "" {
		t.Errorf("call (-want +got):\n%s", diff)
	}
}

func TestATruncatedStreamOfMetricsIsAnError(t *testing.T) {
	t.Parallel()
	got := mustSend(t, "GET", streaming(batchOf(series...)).serve(t)+"/api/metrics/r", "")
	if got.StatusCode != statusServerError {
		t.Errorf("status %d: %s", got.StatusCode, got.body)
	}
}

func TestTooManyPointsAreRefused(t *testing.T) {
	t.Parallel()
	many := &table{metrics: map[string]*points{}, size: maxPoints - 2}
	if err := many.add(series[:1]); err == nil || many.size != maxPoints+1 {
		t.Errorf("%d points: %v", many.size, err)
	}
}

// TestIntegersKeepTheirDigits: the client reads integers, which must be those in the
// double, without zeros in place of the last digits.
func TestIntegersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0", -7: "-7", 1e6: "1000000", 1 << 53: "9007199254740992", 1 << 60: "1152921504606846976", -1 << 63: "-9223372036854775808",
		1 << 65: "36893488147419103232", 1e21: "1e+21", 0.5: "0.5", 1e-7: "1e-07",
	} {
		b := &backend{unary: func(req proto.Message) (proto.Message, error) {
			if _, ok := req.(*runicornapiv1.GetMetricsRequest); ok {
				return &runicornapiv1.GetMetricsResponse{Series: []*runicornapiv1.MetricSeries{
					{MetricName: "x", Kind: numberKind, Steps: []int64{1}, Values: []float64{v}},
				}}, nil
			}
			return &runicornapiv1.GetExperimentResponse{Experiment: &runicornapiv1.Experiment{
				Summary:    map[string]*runicornapiv1.Value{"x": {Kind: &runicornapiv1.Value_Number{Number: v}}},
				BestMetric: &runicornapiv1.BestMetric{MetricName: "x", Value: &v},
			}}, nil
		}}
		url := b.serve(t)
		for path, wants := range map[string][]string{
			"/api/metrics/r": {`"value":` + want + ","}, "/api/runs/r": {`"summary":{"x":` + want + "}", `"best_metric_value":` + want + ","},
		} {
			body := mustSend(t, "GET", url+path, "").body
			for _, want := range wants {
				if !strings.Contains(body, want) {
					t.Errorf("%s of %v has no %s: %s", path, v, want, body)
				}
			}
		}
	}
}
