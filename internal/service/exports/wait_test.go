package exports

import (
	"context"
	"net/http"
	"strings"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// TestExportExperiment_OthersContinueWhileSomeWait: an export that does not compute
// occupies no processor, so any number of waiting ones delays no other.
func TestExportExperiment_OthersContinueWhileSomeWait(t *testing.T) {
	t.Parallel()
	type begin func(ctx context.Context, h *servicetest.Harness, id string) (recv func() error, err error)
	export := func(format runicornapiv1.ExportFormat) begin {
		return func(ctx context.Context, h *servicetest.Harness, id string) (func() error, error) {
			stream, err := h.Experiments.ExportExperiment(ctx, &runicornapiv1.ExportExperimentRequest{Viewer: "v060", RunId: id, Format: format})
			return func() error { _, err := stream.Recv(); return err }, err
		}
	}
	history := func(ctx context.Context, h *servicetest.Harness, id string) (func() error, error) {
		stream, err := h.Metrics.StreamMetrics(ctx, &runicornapiv1.StreamMetricsRequest{Viewer: "v060", RunIds: []string{id}})
		return func() error { _, err := stream.Recv(); return err }, err
	}
	tests := []struct {
		name string
		// begin begins a call for a large run of the Viewer v060, which waits soon
		// after its first message; if the Viewer hangs it gets none.
		begin begin
		stuck bool // the Viewer v060 hangs
	}{
		{"for clients that do not read an export", export(runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL), false},
		{"for clients that do not read a zip", export(runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP), false},
		{"for clients that do not read a history", history, false},
		{"for a file of a viewer that hangs", export(runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL), true},
		{"for a run of a viewer that hangs", export(runicornapiv1.ExportFormat_EXPORT_FORMAT_HTML), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHarnessWith(t, setup{config: func(d *Config) { d.CPUGate = cpugate.NewGate(2) }}, demotest.Gen06, demotest.Gen07)
			large := h.Upstreams[0].AddBigRun(200_000)
			id := h.Upstreams[1].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.SampleEvents)})
			asked := make(chan struct{}, 100)
			if tt.stuck {
				h.Upstreams[0].Replace(func(_ http.ResponseWriter, r *http.Request) bool {
					if !strings.Contains(r.URL.RawQuery, "events.jsonl") {
						return false
					}
					asked <- struct{}{}
					<-r.Context().Done()
					return true
				})
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for range 2 { // one more than may compute
				recv, err := tt.begin(ctx, h, large)
				if err != nil {
					t.Fatal(err)
				}
				if !tt.stuck {
					if err := recv(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if tt.stuck {
				<-asked
			}
			for _, format := range []runicornapiv1.ExportFormat{runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL} {
				if _, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{Viewer: "v072", RunId: id, Format: format}); err != nil {
					t.Errorf("%v: %v", format, err)
				}
			}
		})
	}
}
