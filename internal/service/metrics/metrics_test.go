package metrics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// wideEvents are lines of sixteen metrics.
func wideEvents(n int) []byte {
	var b strings.Builder
	for step := range n {
		b.WriteString(servicetest.MetricsLine(step, `"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1`))
	}
	return []byte(b.String())
}

func TestMetrics_GetMetrics(t *testing.T) {
	h := newHarness(t, demotest.Gen06)
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.SampleEvents)})
	nan, inf := math.NaN(), math.Inf(-1)
	loss := &runicornapiv1.MetricSeries{
		MetricName: "loss", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER,
		Steps: []int64{1, 2, 3, 4}, Times: []float64{1001.5, 1002.5, 1003.5, 1004.5}, Values: []float64{2.5, nan, inf, 4},
	}
	ok := &runicornapiv1.MetricSeries{
		MetricName: "ok", Kind: runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN,
		Steps: []int64{1, 3}, Times: []float64{1001.5, 1003.5}, Values: []float64{1, 0},
	}
	seed := &runicornapiv1.MetricSeries{
		MetricName: "seed", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER,
		Steps: []int64{1}, Times: []float64{1001.5}, Values: []float64{1 << 60},
		Exact: []*runicornapiv1.ExactInteger{{Index: 0, Decimal: "1152921504606846977"}},
	}
	stage := &runicornapiv1.MetricSeries{
		MetricName: "stage", Kind: runicornapiv1.MetricKind_METRIC_KIND_TEXT,
		Steps: []int64{2, 4}, Times: []float64{1002.5, 1004.5}, Texts: []string{"warmup", "main"},
	}
	val := &runicornapiv1.MetricSeries{
		MetricName: "val/loss", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER,
		Steps: []int64{3}, Times: []float64{1003.5}, Values: []float64{7},
	}
	cut := func(s *runicornapiv1.MetricSeries, from, to int) *runicornapiv1.MetricSeries {
		s = proto.CloneOf(s)
		s.ReturnedCount, s.TotalCount = new(int64(to-from)), new(int64(len(s.Steps)))
		s.Steps, s.Times = s.Steps[from:to], s.Times[from:to]
		if len(s.Values) > 0 {
			s.Values = s.Values[from:to]
		} else {
			s.Texts = s.Texts[from:to]
		}
		return s
	}
	steps := func(s *runicornapiv1.MetricSeries, from, to int) *runicornapiv1.MetricSeries {
		s = cut(s, from, to)
		s.ReturnedCount, s.TotalCount = nil, nil
		return s
	}
	tests := []struct {
		name string
		req  *runicornapiv1.GetMetricsRequest
		want []*runicornapiv1.MetricSeries
	}{
		{"everything", &runicornapiv1.GetMetricsRequest{}, []*runicornapiv1.MetricSeries{loss, ok, seed, stage, val}},
		{"by name and by prefix", &runicornapiv1.GetMetricsRequest{MetricNames: []string{"seed", "none"}, MetricPrefixes: []string{"val/"}}, []*runicornapiv1.MetricSeries{seed, val}},
		{"a range of steps is no cut", &runicornapiv1.GetMetricsRequest{MinStep: new(int64(2)), MaxStep: new(int64(3)), MetricNames: []string{"loss", "stage"}}, []*runicornapiv1.MetricSeries{steps(loss, 1, 3), steps(stage, 0, 1)}},
		{"the first points of each", &runicornapiv1.GetMetricsRequest{Limit: new(int32(1))}, []*runicornapiv1.MetricSeries{cut(loss, 0, 1), cut(ok, 0, 1), seed, cut(stage, 0, 1), val}},
		{"the newest points of each", &runicornapiv1.GetMetricsRequest{Last: new(int32(1))}, []*runicornapiv1.MetricSeries{cut(loss, 3, 4), cut(ok, 1, 2), seed, cut(stage, 1, 2), val}},
		{"a limit that is not reached cuts nothing", &runicornapiv1.GetMetricsRequest{Limit: new(int32(9))}, []*runicornapiv1.MetricSeries{loss, ok, seed, stage, val}},
		{"no points in the range", &runicornapiv1.GetMetricsRequest{MinStep: new(int64(100))}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.RunId = id
			resp, err := h.Metrics.GetMetrics(t.Context(), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			want := &runicornapiv1.GetMetricsResponse{
				Series: tt.want, Fidelity: runicornapiv1.Fidelity_FIDELITY_EVENT_LOG, Viewer: "v060", RunId: id,
				MalformedLineCount: 1, LinesWithoutStepCount: 1, ReadTime: resp.GetReadTime(),
			}
			if diff := cmp.Diff(want, resp, protocmp.Transform(), cmpopts.EquateNaNs()); diff != "" || resp.GetReadTime() == nil {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetrics_ListMetrics(t *testing.T) {
	number := func(x float64) *runicornapiv1.Value {
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Number{Number: x}}
	}
	exact := &runicornapiv1.Value{Kind: &runicornapiv1.Value_Integer{Integer: 1<<60 + 1}}
	want := []*runicornapiv1.MetricInfo{
		{
			MetricName: "loss", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER, Count: 4, FirstStep: 1, LastStep: 4, LastTime: convert.UnixTime(1004.5),
			LastValue: number(4), MinValue: new(2.5), MaxValue: new(4.0), NonFiniteCount: new(int64(2)),
		},
		{
			MetricName: "ok", Kind: runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN, Count: 2, FirstStep: 1, LastStep: 3, LastTime: convert.UnixTime(1003.5),
			LastValue: &runicornapiv1.Value{Kind: &runicornapiv1.Value_Boolean{}},
		},
		{
			MetricName: "seed", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER, Count: 1, FirstStep: 1, LastStep: 1, LastTime: convert.UnixTime(1001.5),
			LastValue: exact, MinValue: new(float64(1 << 60)), MaxValue: new(float64(1 << 60)), NonFiniteCount: new(int64(0)),
		},
		{
			MetricName: "stage", Kind: runicornapiv1.MetricKind_METRIC_KIND_TEXT, Count: 2, FirstStep: 2, LastStep: 4, LastTime: convert.UnixTime(1004.5),
			LastValue: &runicornapiv1.Value{Kind: &runicornapiv1.Value_Text{Text: "main"}},
		},
		{
			MetricName: "val/loss", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER, Count: 1, FirstStep: 3, LastStep: 3, LastTime: convert.UnixTime(1003.5),
			LastValue: number(7), MinValue: new(7.0), MaxValue: new(7.0), NonFiniteCount: new(int64(0)),
		},
	}
	h := newHarness(t, demotest.Gen07)
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.SampleEvents)})
	resp, err := h.Metrics.ListMetrics(t.Context(), &runicornapiv1.ListMetricsRequest{RunId: id})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, resp.GetMetrics(), protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if resp.GetStepCount() != 4 || resp.GetMalformedLineCount() != 1 || resp.GetLinesWithoutStepCount() != 1 {
		t.Errorf("counts of %v", resp)
	}
	resp, err = h.Metrics.ListMetrics(t.Context(), &runicornapiv1.ListMetricsRequest{RunId: id, MetricPrefixes: []string{"val"}})
	if err != nil || len(resp.GetMetrics()) != 1 {
		t.Errorf("by prefix: %v, %v", resp, err)
	}
}

func TestMetrics_MergedTableReportsWhatItCannotKnow(t *testing.T) {
	h := newHarness(t, demotest.Gen05)
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(
		servicetest.MetricsLine(1, `"loss": 1, "bad": NaN`) + servicetest.MetricsLine(2, `"loss": NaN, "bad": NaN`) + servicetest.MetricsLine(3, `"loss": 3`))})
	resp, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{RunId: id})
	if err != nil {
		t.Fatal(err)
	}
	want := []*runicornapiv1.MetricSeries{
		{MetricName: "bad", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER, IndeterminateCellCount: new(int64(3))},
		{
			MetricName: "loss", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER, IndeterminateCellCount: new(int64(1)),
			Steps: []int64{1, 3}, Times: []float64{1001.5, 1003.5}, Values: []float64{1, 3},
		},
	}
	if diff := cmp.Diff(want, resp.GetSeries(), protocmp.Transform()); diff != "" || resp.GetFidelity() != runicornapiv1.Fidelity_FIDELITY_MERGED_TABLE {
		t.Errorf("%v (-want +got):\n%s", resp.GetFidelity(), diff)
	}
	list, err := h.Metrics.ListMetrics(t.Context(), &runicornapiv1.ListMetricsRequest{RunId: id})
	if err != nil || len(list.GetMetrics()) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	if bad := list.GetMetrics()[0]; bad.GetCount() != 0 || bad.GetIndeterminateCellCount() != 3 || bad.NonFiniteCount != nil || bad.GetLastValue() != nil {
		t.Errorf("bad is %v", bad)
	}
}

func TestMetrics_Downsampled(t *testing.T) {
	h := newHarness(t, demotest.Gen06)
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.CurveLines(1000, func(step int) float64 {
		if step == 777 {
			return 99
		}
		return math.Sin(float64(step) / 50)
	}))})
	get := func(req *runicornapiv1.GetMetricsRequest) *runicornapiv1.MetricSeries {
		t.Helper()
		req.RunId = id
		resp, err := h.Metrics.GetMetrics(t.Context(), req)
		if err != nil || len(resp.GetSeries()) != 1 {
			t.Fatalf("%v, %v", resp, err)
		}
		return resp.GetSeries()[0]
	}
	s := get(&runicornapiv1.GetMetricsRequest{Downsample: &runicornapiv1.Downsample{MaxPoints: 40}})
	if len(s.GetSteps()) > 40 || s.GetReturnedCount() != int64(len(s.GetSteps())) || s.GetTotalCount() != 1000 {
		t.Errorf("%d points, kept %d of %d", len(s.GetSteps()), s.GetReturnedCount(), s.GetTotalCount())
	}
	if greatest := slices.Max(s.GetValues()); greatest != 99 {
		t.Errorf("the spike is gone: greatest value %v", greatest)
	}
	s = get(&runicornapiv1.GetMetricsRequest{Last: new(int32(100)), Downsample: &runicornapiv1.Downsample{MaxPoints: 10}})
	if s.GetSteps()[0] != 900 || s.GetReturnedCount() > 10 || s.GetTotalCount() != 1000 {
		t.Errorf("the last hundred, downsampled: %v", s)
	}
	s = get(&runicornapiv1.GetMetricsRequest{Downsample: &runicornapiv1.Downsample{MaxPoints: 1000}})
	if len(s.GetSteps()) != 1000 || s.ReturnedCount != nil || s.TotalCount != nil {
		t.Errorf("what fits is not downsampled: %d points, kept %v", len(s.GetSteps()), s.ReturnedCount)
	}
}

func TestMetrics_Refusals(t *testing.T) {
	h := newHarness(t)
	var long strings.Builder
	for step := range 3200 {
		long.WriteString(servicetest.MetricsLine(step, fmt.Sprintf(`"note": "%01000d"`, step)))
	}
	for _, u := range h.Upstreams {
		id := u.AddRun(demotest.Run{Project: "p", Name: "large", Events: []byte(long.String())})
		empty := u.AddRun(demotest.Run{Project: "p", Name: "empty"})
		t.Run(u.Name+": an answer that is too large says what to use instead", func(t *testing.T) {
			_, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{Viewer: u.Name, RunId: id})
			if info := apierrtest.WantError(t, err, codes.ResourceExhausted, "ANSWER_TOO_LARGE"); !strings.Contains(info.GetMetadata()["instead"], "StreamMetrics") {
				t.Errorf("metadata %v", info.GetMetadata())
			}
			resp, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{Viewer: u.Name, RunId: id, Last: new(int32(2000))})
			if err != nil || resp.GetSeries()[0].GetReturnedCount() != 2000 || resp.GetSeries()[0].GetTotalCount() != 3200 {
				t.Errorf("with last: %v, %v", resp.GetSeries(), err)
			}
		})
		t.Run(u.Name+": a run that logged nothing is empty", func(t *testing.T) {
			resp, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{Viewer: u.Name, RunId: empty})
			if err != nil || len(resp.GetSeries()) != 0 || resp.GetFidelity() == 0 {
				t.Errorf("%v, %v", resp, err)
			}
		})
		t.Run(u.Name+": an unknown run is not found", func(t *testing.T) {
			for _, runID := range []string{"20200101_000000_abcdef", target.ResourceName(u.Name, "20200101_000000_abcdef")} {
				_, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{Viewer: u.Name, RunId: runID})
				if info := apierrtest.WantError(t, err, codes.NotFound, "RUN_NOT_FOUND"); info.GetMetadata()["viewer"] != u.Name {
					t.Errorf("metadata %v", info.GetMetadata())
				}
			}
		})
		t.Run(u.Name+": a bad id reaches no Viewer", func(t *testing.T) {
			before := u.AllRequests()
			_, err := h.Metrics.ListMetrics(t.Context(), &runicornapiv1.ListMetricsRequest{Viewer: u.Name, RunId: "a/../b"})
			apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
			if diff := cmp.Diff(before, u.AllRequests()); diff != "" {
				t.Errorf("requests (-before +after):\n%s", diff)
			}
		})
	}
	t.Run("far too many points are refused before they are copied", func(t *testing.T) {
		id := h.Upstreams[1].AddRun(demotest.Run{Project: "p", Name: "wide", Events: wideEvents(20_000)})
		_, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{Viewer: "v060", RunId: id})
		apierrtest.WantError(t, err, codes.ResourceExhausted, "ANSWER_TOO_LARGE")
	})
}
