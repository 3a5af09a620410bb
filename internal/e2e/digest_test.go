package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestDigest_AgreesWithTheWholeRun compares a server whose cache holds no run but the
// smallest ones with the shared one, for every seeded run. Of a run at rest it reads
// nothing twice.
func TestDigest_AgreesWithTheWholeRun(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		small := mustStart(t, fmt.Sprintf("--viewer=%s=%s", viewer, seeded.URL()), "--cache-bytes=160KiB")
		for key, run := range seeded.Manifest.Runs {
			if running[key] {
				continue
			}
			t.Run(key, func(t *testing.T) {
				list := func(s *server) (proto.Message, error) {
					return s.metrics.ListMetrics(t.Context(), &runicornapiv1.ListMetricsRequest{Viewer: viewer, RunId: run.RunID})
				}
				last := func(s *server) (proto.Message, error) {
					return s.metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{Viewer: viewer, RunId: run.RunID, Last: new(int32(2))})
				}
				for name, call := range map[string]func(*server) (proto.Message, error){"ListMetrics": list, "last": last} {
					want, err := call(s)
					if err != nil {
						t.Fatal(err)
					}
					got, err := call(small)
					if err != nil {
						t.Fatal(err)
					}
					diff := cmp.Diff(want, got, protocmp.Transform(), cmpopts.EquateNaNs(),
						protocmp.IgnoreFields(&runicornapiv1.ListMetricsResponse{}, "read_time"), protocmp.IgnoreFields(&runicornapiv1.GetMetricsResponse{}, "read_time"))
					if diff != "" {
						t.Errorf("%s (-whole +digest):\n%s", name, diff)
					}
				}
				if !seeded.Version().HasPaths() {
					return
				}
				before := receivedBytes(t, small)
				for range 3 {
					if _, err := list(small); err != nil {
						t.Fatal(err)
					}
				}
				if n := receivedBytes(t, small) - before; before == 0 || n > 16<<10 {
					t.Errorf("%v bytes were read from the Viewer again", n)
				}
			})
		}
	})
}

// receivedBytes is how much a server has read from its Viewers.
func receivedBytes(t *testing.T, s *server) (sum float64) {
	t.Helper()
	for line := range strings.Lines(sendJSON(t, http.MethodGet, "http://"+s.httpAddr+"/metrics", "")) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), "} "); strings.Contains(name, "upstream_received_bytes_total{") {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}
