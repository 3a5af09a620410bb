package metrics

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// handlerTransport answers requests by a handler, without a socket.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// tableView reads bytes as the body of a merged table, through the client.
func tableView(t *testing.T, body []byte) (*runcache.View, error) {
	t.Helper()
	client, err := restclient.New(restclient.Config{Name: "v", BaseURL: "http://viewer", Transport: handlerTransport{
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path == "/openapi.json" {
				_, _ = w.Write([]byte(`{"paths":{"/api/runs/{run_id}/metrics_step":{"get":{}}}}`)) // a recorder never fails
				return
			}
			_, _ = w.Write(body)
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	v := &runcache.View{Table: eventlog.NewTable(), Origin: runsource.FromMergedTable}
	src := source.Of(target.Run{Viewer: &fleet.Viewer{Name: "v", Client: client}, RunID: "r"})
	put := func(row *eventlog.Row) error {
		v.Table.Put(row)
		return nil
	}
	_, err = src.ReadTable(context.Background(), put, v.Table.AddIndeterminate)
	v.Table.Compact()
	return v, err
}

// eventView reads bytes as an event file.
func eventView(file []byte) *runcache.View {
	v := &runcache.View{Table: eventlog.NewTable(), Origin: runsource.FromEventLog}
	var parser eventlog.Parser
	handler := eventlog.Handler{Row: func(row *eventlog.Row) error {
		v.Table.Put(row)
		return nil
	}}
	if n, err := parser.Parse(file, 0, handler); err == nil {
		_, _ = parser.Finish(file[n:], int64(n), handler) // fails only for what is far longer
	}
	v.Table.Compact()
	return v
}

// FuzzAnyMetricBytesMarshal: any response of a Viewer becomes messages that can be
// encoded in protobuf and JSON, or an error.
func FuzzAnyMetricBytesMarshal(f *testing.F) {
	f.Add([]byte(servicetest.SampleEvents))
	f.Add([]byte("{\"type\":\"metrics\",\"data\":{\"\xff\\ud800\":\"\xfe\\udc00\",\"a\":1e999,\"global_step\":\"7\"}}\n"))
	f.Add([]byte("{\"columns\":[\"global_step\",\"\xff\"],\"rows\":[{\"global_step\":1,\"\xff\":\"\xfe\",\"b\":12345678901234567890}],\"total\":1}"))
	f.Add([]byte(`{"columns":["global_step","a"],"rows":[{"global_step":1,"a":null},{"global_step":-2,"a":true,"time":1e400}],"total":2,"sampled":2}`))
	f.Fuzz(func(t *testing.T, upstream []byte) {
		views := []*runcache.View{eventView(upstream)}
		if v, err := tableView(t, upstream); err == nil {
			views = append(views, v)
		}
		run := target.Run{Viewer: &fleet.Viewer{Name: "v"}, RunID: "r"}
		for _, v := range views {
			series, err := newSeriesReader(&runicornapiv1.GetMetricsRequest{}).read(t.Context(), v)
			if err != nil {
				continue // too large
			}
			mustMarshal(t, metricsAnswer(run, v, series))
			mustMarshal(t, metricListAnswer(run, v, eventlog.Selection{}))
			c := newComparison(&runicornapiv1.CompareExperimentsRequest{MetricPrefixes: []string{""}}, 1)
			if err := c.read(t.Context(), 0, v); err == nil {
				entries := []runs.Entry{{Viewer: run.Viewer, Run: &restclient.Run{ID: "r"}}}
				comparisons, err := c.comparisons(t.Context(), entries)
				if err != nil {
					t.Fatal(err)
				}
				mustMarshal(t, &runicornapiv1.CompareExperimentsResponse{Comparisons: comparisons})
			}
		}
	})
}

// mustMarshal also checks that columns have one length.
func mustMarshal(t *testing.T, m proto.Message) {
	t.Helper()
	if _, err := proto.Marshal(m); err != nil {
		t.Errorf("protobuf: %v", err)
	}
	if _, err := protojson.Marshal(m); err != nil {
		t.Errorf("JSON: %v", err)
	}
	resp, ok := m.(*runicornapiv1.GetMetricsResponse)
	if !ok {
		return
	}
	for _, s := range resp.GetSeries() {
		if n := len(s.GetSteps()); len(s.GetTimes()) != n || len(s.GetValues())+len(s.GetTexts()) != n {
			t.Errorf("columns of unlike lengths: %v", s)
		}
	}
}
