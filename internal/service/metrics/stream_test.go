package metrics

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// streamed reads a history to its end.
func streamed(t *testing.T, h *servicetest.Harness, req *runicornapiv1.StreamMetricsRequest) (points []string, trailer *runicornapiv1.StreamTrailer, err error) {
	t.Helper()
	stream, err := h.Metrics.StreamMetrics(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return points, trailer, nil
		case err != nil:
			return points, trailer, err
		case trailer != nil:
			t.Errorf("behind the trailer: %v", m)
		}
		points = append(points, servicetest.PointTexts(m.GetBatch())...)
		trailer = m.GetTrailer()
		want := runicornapiv1.Fidelity_FIDELITY_EVENT_LOG
		if strings.HasPrefix(m.GetViewer(), "v05") {
			want = runicornapiv1.Fidelity_FIDELITY_MERGED_TABLE
		}
		if m.GetBatch() != nil && m.GetBatch().GetFidelity() != want {
			t.Errorf("points of %s say that they are from %v", m.GetViewer(), m.GetBatch().GetFidelity())
		}
	}
}

func TestStream_Orders(t *testing.T) {
	t.Parallel()
	h := newTailHarness(t)
	for _, u := range h.Upstreams {
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.SampleEvents)})
		isTable := u == h.Upstreams[0]
		for name, tt := range map[string]struct {
			req   *runicornapiv1.StreamMetricsRequest
			want  []string // of loss
			table []string // as 0.5.3 has it
			total int64
		}{
			"as logged": {
				&runicornapiv1.StreamMetricsRequest{},
				[]string{"loss 1 1.5 at 1001.5", "loss 2 NaN at 1002.5", "loss 3 -Inf at 1003.5", "loss 1 2.5 at 1001.5", "loss 4 4 at 1004.5"},
				[]string{"loss 1 2.5 at 1001.5", "loss 4 4 at 1004.5"},
				5,
			},
			"merged": {
				&runicornapiv1.StreamMetricsRequest{Order: runicornapiv1.StreamOrder_STREAM_ORDER_MERGED},
				[]string{"loss 1 2.5 at 1001.5", "loss 2 NaN at 1002.5", "loss 3 -Inf at 1003.5", "loss 4 4 at 1004.5"},
				[]string{"loss 1 2.5 at 1001.5", "loss 4 4 at 1004.5"},
				4,
			},
			"downsampled": {
				&runicornapiv1.StreamMetricsRequest{Downsample: &runicornapiv1.Downsample{MaxPoints: 2}},
				[]string{"loss 1 1.5 at 1001.5", "loss 4 4 at 1004.5"},
				[]string{"loss 1 2.5 at 1001.5", "loss 4 4 at 1004.5"},
				5,
			},
			"a range of steps": {
				&runicornapiv1.StreamMetricsRequest{MinStep: new(int64(2)), MaxStep: new(int64(4))},
				[]string{"loss 2 NaN at 1002.5", "loss 3 -Inf at 1003.5", "loss 4 4 at 1004.5"},
				[]string{"loss 4 4 at 1004.5"},
				3,
			},
		} {
			t.Run(u.Name+" "+name, func(t *testing.T) {
				req := proto.CloneOf(tt.req)
				req.Viewer, req.RunIds, req.MetricNames = u.Name, []string{id}, []string{"loss"}
				points, trailer, err := streamed(t, h, req)
				want, total := tt.want, tt.total
				if isTable {
					want, total = tt.table, int64(len(tt.table))
				}
				if err != nil || !slices.Equal(points, want) {
					t.Errorf("%v, points %q, want %q", err, points, want)
				}
				if trailer.GetPointCount() != int64(len(want)) || trailer.GetTotalPointCount() != total || trailer.GetRunCount() != 1 {
					t.Errorf("trailer %v", trailer)
				}
				if !isTable && (trailer.GetMalformedLineCount() != 1 || trailer.GetLinesWithoutStepCount() != 1) {
					t.Errorf("trailer %v", trailer)
				}
			})
		}
	}
}

func TestStream_ManyRunsAndLargeOnes(t *testing.T) {
	t.Parallel()
	h := newTailHarness(t, demotest.Gen06)
	u := h.Upstreams[0]
	big := u.AddBigRun(8_000)
	small := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.SampleEvents)})
	points, trailer, err := streamed(t, h, &runicornapiv1.StreamMetricsRequest{RunIds: []string{big, small, target.ResourceName("v060", big)}, Positions: true})
	if err != nil || trailer.GetRunCount() != 2 || int64(len(points)) != trailer.GetPointCount() || trailer.GetBatchCount() < 8 || !strings.Contains(points[0], " in 0") {
		t.Errorf("%v, %d points, trailer %v", err, len(points), trailer)
	}
}

// TestStream_IsNeverSilentlyTruncated: without all points there is no trailer.
func TestStream_IsNeverSilentlyTruncated(t *testing.T) {
	t.Parallel()
	h := newTailHarness(t, demotest.Gen07)
	u := h.Upstreams[0]
	id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.CurveLines(20_000, func(step int) float64 { return float64(step) }))})
	u.Replace(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/assets/download") {
			return false
		}
		u.Viewer.ServeHTTP(&cutWriter{ResponseWriter: w, left: 1 << 20}, r)
		return true
	})
	for _, order := range []runicornapiv1.StreamOrder{runicornapiv1.StreamOrder_STREAM_ORDER_LOG, runicornapiv1.StreamOrder_STREAM_ORDER_MERGED} {
		points, trailer, err := streamed(t, h, &runicornapiv1.StreamMetricsRequest{RunIds: []string{id}, Order: order})
		if order == runicornapiv1.StreamOrder_STREAM_ORDER_MERGED && err == nil { // it reads on where it was cut
			if len(points) != 20_000 {
				t.Errorf("%d points", len(points))
			}
			continue
		}
		apierrtest.WantError(t, err, codes.DataLoss, "STREAM_CUT")
		if trailer != nil || len(points) == 0 || len(points) >= 20_000 {
			t.Errorf("%d points, trailer %v", len(points), trailer)
		}
	}
}

func TestStream_Refusals(t *testing.T) {
	t.Parallel()
	h := newTailHarness(t, demotest.Gen06)
	small := replica(t, h, func(d *Config) { d.Budget = points.NewBudget(1 << 10) })
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.CurveLines(1000, func(int) float64 { return 1 }))})
	ids := []string{id}
	for name, tt := range map[string]struct {
		h      *servicetest.Harness
		req    *runicornapiv1.StreamMetricsRequest
		code   codes.Code
		reason string
	}{
		"an unknown run":           {h, &runicornapiv1.StreamMetricsRequest{RunIds: []string{"20200101_000000_abcdef"}}, codes.NotFound, "RUN_NOT_FOUND"},
		"positions of what is not": {h, &runicornapiv1.StreamMetricsRequest{RunIds: ids, Positions: true, Order: runicornapiv1.StreamOrder_STREAM_ORDER_MERGED}, codes.InvalidArgument, "INVALID_REQUEST"},
		"merged beyond the budget": {small, &runicornapiv1.StreamMetricsRequest{RunIds: ids, Order: runicornapiv1.StreamOrder_STREAM_ORDER_MERGED}, codes.ResourceExhausted, "SERVER_LIMIT"},
		"downsampled beyond it":    {small, &runicornapiv1.StreamMetricsRequest{RunIds: ids, Downsample: &runicornapiv1.Downsample{MaxPoints: 9}}, codes.ResourceExhausted, "SERVER_LIMIT"},
	} {
		t.Run(name, func(t *testing.T) {
			_, trailer, err := streamed(t, tt.h, tt.req)
			apierrtest.WantError(t, err, tt.code, tt.reason)
			if trailer != nil {
				t.Error("there is a trailer")
			}
		})
	}
	if _, _, err := streamed(t, small, &runicornapiv1.StreamMetricsRequest{RunIds: ids}); err != nil {
		t.Errorf("as logged it needs no budget: %v", err)
	}
}
