package exports

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

func TestExportExperiment_OfAFilter(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen07)
	u := h.Upstreams[0]
	for i := range 3 {
		u.AddRun(demotest.Run{
			ID: fmt.Sprintf("20260101_000000_00000%d", i), Path: "few", Created: servicetest.Day(1 + i), Events: servicetest.PointsAt(1, [3]float64{1, float64(i), 1}),
		})
	}
	u.AddRuns(101)
	csv := runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV
	file, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{Filter: "path:few", Format: csv})
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for line := range strings.Lines(string(file.content)) {
		if id := strings.Split(line, ",")[1]; strings.HasPrefix(id, "2026") {
			runs = append(runs, id[len(id)-1:])
		}
	}
	if !slices.Equal(runs, []string{"2", "1", "0"}) {
		t.Errorf("runs %v, want the newest first:\n%s", runs, file.content)
	}
	for name, tt := range map[string]struct {
		req    *runicornapiv1.ExportExperimentRequest
		code   codes.Code
		reason string
	}{
		"nothing matches":         {&runicornapiv1.ExportExperimentRequest{Filter: "path:none"}, codes.InvalidArgument, "INVALID_REQUEST"},
		"more than a file holds":  {&runicornapiv1.ExportExperimentRequest{Filter: "run_id:*"}, codes.ResourceExhausted, "SERVER_LIMIT"},
		"a filter and a run":      {&runicornapiv1.ExportExperimentRequest{Filter: "path:few", RunId: servicetest.SixIDs[0]}, codes.InvalidArgument, "INVALID_REQUEST"},
		"neither runs nor filter": {&runicornapiv1.ExportExperimentRequest{}, codes.InvalidArgument, "INVALID_REQUEST"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := receiveExport(t.Context(), t, h, tt.req)
			apierrtest.WantError(t, err, tt.code, tt.reason)
		})
	}
}
