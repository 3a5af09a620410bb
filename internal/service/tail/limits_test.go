package tail

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// oversizedLog has, between three points of loss, a line that is too long, a text that
// fits into no message, names that are too long, and many that are just short enough.
func oversizedLog() string {
	var long, full strings.Builder
	for i := range 600 {
		fmt.Fprintf(&long, `"%s%d":1,`, strings.Repeat("n", 10_000), i)
	}
	for i := range 5000 {
		fmt.Fprintf(&full, `"%s%05d":1,`, strings.Repeat("f", eventlog.MaxName-5), i)
	}
	return servicetest.MetricsLine(1, `"loss": 1`) +
		strings.Repeat("x", 17<<20) + "\n" +
		servicetest.MetricsLine(2, `"note": "`+strings.Repeat("x", 4<<20)+`"`) +
		servicetest.MetricsLine(3, long.String()+`"loss": 3`) +
		servicetest.MetricsLine(4, full.String()+`"loss": 4`)
}

// TestOversized_LeavesEverythingReadable reads a run whose log is too large in every way,
// together with a normal one.
func TestOversized_LeavesEverythingReadable(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, setup{loopback: true, client: func(c *restclient.Config) { c.Share = 1 }}, demotest.Gen06)
	u := h.Upstreams[0]
	bad := u.AddRun(demotest.Run{Project: "p", Name: "bad", Status: "finished", Events: []byte(oversizedLog())})
	good := u.AddRun(demotest.Run{Project: "p", Name: "good", Status: "finished", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
	loss := []string{"loss"}
	points := []string{"loss 1 1 at 1001.5", "loss 3 3 at 1003.5", "loss 4 4 at 1004.5"}
	wantLimitations := func(t *testing.T, texts []string, n int) {
		t.Helper()
		if len(texts) != n {
			t.Errorf("limitations %q, want %d", texts, n)
		}
	}
	t.Run("GetMetrics of another metric", func(t *testing.T) {
		resp, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{RunId: bad, MetricNames: loss})
		if err != nil || len(resp.GetSeries()) != 1 || len(resp.GetSeries()[0].GetSteps()) != 3 || resp.GetMalformedLineCount() != 1 {
			t.Fatalf("%v, %v", resp, err)
		}
		wantLimitations(t, resp.GetLimitations(), 3)
	})
	t.Run("GetMetrics of the text", func(t *testing.T) {
		resp, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{RunId: bad, MetricNames: []string{"note"}})
		if err != nil || len(resp.GetSeries()[0].GetTexts()[0]) > eventlog.MaxText {
			t.Fatal(err)
		}
	})
	t.Run("ListMetrics, page by page", func(t *testing.T) {
		metrics, req := 0, &runicornapiv1.ListMetricsRequest{RunId: bad}
		for {
			resp, err := h.Metrics.ListMetrics(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			wantLimitations(t, resp.GetLimitations(), 3)
			metrics += len(resp.GetMetrics())
			if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		if metrics != 5002 {
			t.Errorf("%d metrics", metrics)
		}
	})
	for _, req := range []*runicornapiv1.StreamMetricsRequest{
		{},
		{Order: runicornapiv1.StreamOrder_STREAM_ORDER_MERGED},
		{Downsample: &runicornapiv1.Downsample{MaxPoints: 10}},
	} {
		t.Run("StreamMetrics "+req.String(), func(t *testing.T) {
			req.RunIds = []string{bad, good}
			stream, err := h.Metrics.StreamMetrics(t.Context(), req)
			var last *runicornapiv1.StreamMetricsResponse
			for err == nil {
				var m *runicornapiv1.StreamMetricsResponse
				if m, err = stream.Recv(); err == nil {
					last = m
				}
			}
			if trailer := last.GetTrailer(); !errors.Is(err, io.EOF) || trailer.GetPointCount() != 5005 {
				t.Fatalf("%v, %v", trailer, err)
			}
			wantLimitations(t, last.GetTrailer().GetLimitations(), 3)
		})
	}
	t.Run("a tail of both runs", func(t *testing.T) {
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{bad, good}})
		if err := c.rest(); err != nil {
			t.Fatal(err)
		}
		c = startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{bad, good}, MetricNames: loss})
		if err := c.rest(); err != nil {
			t.Fatal(err)
		}
		c.want(bad, points)
		c.want(good, points[:1])
		wantLimitations(t, c.last.GetHeartbeat().GetLimitations(), 3) // the last message before OK
	})
}
