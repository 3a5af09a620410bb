package client

import (
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

type historyServer = grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]

func historyPart(b *runicornapiv1.MetricBatch) *runicornapiv1.StreamMetricsResponse {
	return &runicornapiv1.StreamMetricsResponse{Viewer: "v", RunId: "r", Event: &runicornapiv1.StreamMetricsResponse_Batch{Batch: b}}
}

func trailer(points int64) *runicornapiv1.StreamMetricsResponse {
	return &runicornapiv1.StreamMetricsResponse{Event: &runicornapiv1.StreamMetricsResponse_Trailer{Trailer: &runicornapiv1.StreamTrailer{PointCount: points}}}
}

func TestHistory_JoinsItsParts(t *testing.T) {
	t.Parallel()
	first, second := batch(1, 2), batch(3, 4)
	first.Series[0].Exact = []*runicornapiv1.ExactInteger{{Index: 1, Decimal: "11"}}
	second.Series[0].Exact = []*runicornapiv1.ExactInteger{{Index: 0, Decimal: "22"}}
	first.Series[0].ReturnedCount, first.Series[0].TotalCount = new(int64(4)), new(int64(9))
	second.Series[0].ReturnedCount, second.Series[0].TotalCount = new(int64(4)), new(int64(9))
	second.Series = append(second.Series, &runicornapiv1.MetricSeries{
		MetricName: "stage", Kind: runicornapiv1.MetricKind_METRIC_KIND_TEXT, Steps: []int64{7}, Texts: []string{"warm-up"},
	})
	f := &fake{history: func(_ int, s historyServer) error {
		return errors.Join(s.Send(historyPart(first)), s.Send(historyPart(second)), s.Send(trailer(5)))
	}}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		h, err := c.History(t.Context(), &runicornapiv1.StreamMetricsRequest{RunIds: []string{"r"}})
		if err != nil {
			t.Fatal(err)
		}
		var steps []int64
		var exact []string
		for p := range h.Metric("loss").Points() {
			steps = append(steps, p.Step)
			exact = append(exact, p.Exact)
			if p.Value != float64(p.Step)/2 || p.Time != float64(p.Step)+0.5 || p.At().UnixMilli() != p.Step*1000+500 || p.Viewer != "v" || p.RunID != "r" {
				t.Errorf("point %+v", p)
			}
		}
		wantSteps(t, steps, 1, 2, 3, 4)
		if strings.Join(exact, "/") != "/11/22/" || h.Metric("loss").GetReturnedCount() != 4 || h.Metric("none") != nil {
			t.Errorf("exact %s, %v", exact, h.Metric("loss"))
		}
		for p := range h.Metric("stage").Points() {
			if p.Text != "warm-up" || !math.IsNaN(p.Time) || !p.At().IsZero() {
				t.Errorf("point %+v", p)
			}
		}
	})
}

func TestHistory_IsCompleteOrAnError(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(s historyServer) error{
		"no trailer":               func(s historyServer) error { return s.Send(historyPart(batch(1))) },
		"nothing":                  func(historyServer) error { return nil },
		"a trailer of more":        func(s historyServer) error { return errors.Join(s.Send(historyPart(batch(1))), s.Send(trailer(2))) },
		"continues after trailers": func(s historyServer) error { return errors.Join(s.Send(trailer(1)), s.Send(historyPart(batch(1)))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{history: func(_ int, s historyServer) error { return send(s) }}
			withFake(t, f, func(t *testing.T, c *Client) {
				t.Helper()
				h, err := c.History(t.Context(), &runicornapiv1.StreamMetricsRequest{RunIds: []string{"r"}})
				if !IsIncomplete(err) || h != nil || f.calls != 1 {
					t.Errorf("%d calls: %v, %v", f.calls, h, err)
				}
			})
		})
	}
}

func TestHistory_ThatBreaksIsReadAgainFromItsStart(t *testing.T) {
	t.Parallel()
	f := &fake{history: func(call int, s historyServer) error {
		err := s.Send(historyPart(batch(1, 2)))
		if call < 4 {
			return errors.Join(err, status.Error(codes.Unavailable, "gone"))
		}
		return errors.Join(err, s.Send(trailer(2)))
	}}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		h, err := c.History(t.Context(), &runicornapiv1.StreamMetricsRequest{RunIds: []string{"r"}})
		if err != nil || len(h.Metric("loss").GetSteps()) != 2 {
			t.Errorf("%v, %v", h, err)
		}
	})
	f = &fake{history: func(int, historyServer) error { return status.Error(codes.Unavailable, "gone") }}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		if _, err := c.History(t.Context(), &runicornapiv1.StreamMetricsRequest{RunIds: []string{"r"}}); !IsUnavailable(err) || f.calls != 2 {
			t.Errorf("%d calls: %v", f.calls, err)
		}
	}, WithRetries(1))
}
