package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestFilters_SelectOnRealViewers compares each filter with a function over the
// unfiltered list of the same Viewer.
func TestFilters_SelectOnRealViewers(t *testing.T) {
	type experiment = *runicornapiv1.Experiment
	eachGeneration(t, func(t *testing.T, s *server, viewer string, _ *realviewer.Seeded) {
		all, err := s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Viewer: viewer, PageSize: 1000})
		if err != nil || len(all.GetExperiments()) < 5 {
			t.Fatalf("%d experiments, %v", len(all.GetExperiments()), err)
		}
		some := all.GetExperiments()[2]
		contains := func(text, part string) bool { return strings.Contains(strings.ToLower(text), part) }
		created := some.GetCreateTime().AsTime()
		for _, tt := range []struct {
			filter string
			want   func(e experiment) bool
		}{
			{"", func(experiment) bool { return true }},
			{"run_id:*", func(experiment) bool { return true }},
			{"run_id = " + some.GetRunId(), func(e experiment) bool { return e.GetRunId() == some.GetRunId() }},
			{"viewer = " + viewer, func(experiment) bool { return true }},
			{"viewer != " + viewer, func(experiment) bool { return false }},
			{"project = " + filter.Quote(some.GetProject()), func(e experiment) bool { return e.GetProject() == some.GetProject() }},
			{"name = " + filter.Quote(some.GetName()), func(e experiment) bool { return e.GetName() == some.GetName() }},
			{"path:" + filter.Quote(some.GetProject()), func(e experiment) bool {
				return e.GetPath() == some.GetProject() || strings.HasPrefix(e.GetPath(), some.GetProject()+"/")
			}},
			{"status = FINISHED", func(e experiment) bool { return e.GetStatus() == statusOf("finished") }},
			{"status = RUNNING OR status = FAILED", func(e experiment) bool {
				return e.GetStatus() == statusOf("running") || e.GetStatus() == statusOf("failed")
			}},
			{"NOT status = FINISHED", func(e experiment) bool { return e.GetStatus() != statusOf("finished") }},
			{"alias:*", func(e experiment) bool { return e.GetAlias() != "" }},
			{"tags:*", func(e experiment) bool { return len(e.GetTags()) > 0 }},
			{"-tags:* AND status = FINISHED", func(e experiment) bool {
				return len(e.GetTags()) == 0 && e.GetStatus() == statusOf("finished")
			}},
			{fmt.Sprintf("create_time >= %q", created.Format(time.RFC3339Nano)), func(e experiment) bool {
				return !e.GetCreateTime().AsTime().Before(created)
			}},
			{"create_time < 2020-01-01", func(e experiment) bool { return e.GetCreateTime().AsTime().Year() < 2020 }},
			{filter.Quote(some.GetRunId()[:8]), func(e experiment) bool {
				return contains(e.GetPath(), some.GetRunId()[:8]) || contains(e.GetRunId(), some.GetRunId()[:8]) || contains(e.GetAlias(), some.GetRunId()[:8])
			}},
		} {
			t.Run(tt.filter, func(t *testing.T) {
				resp, err := s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Viewer: viewer, Filter: tt.filter, PageSize: 1000})
				if err != nil {
					t.Fatal(err)
				}
				want := slices.DeleteFunc(slices.Clone(all.GetExperiments()), func(e experiment) bool { return !tt.want(e) })
				if !slices.EqualFunc(resp.GetExperiments(), want, func(a, b experiment) bool { return a.GetRunId() == b.GetRunId() }) {
					t.Errorf("%d experiments, want %d: %v", len(resp.GetExperiments()), len(want), resp.GetExperiments())
				}
			})
		}
		for text, says := range map[string]string{
			"status = DONE": "RUNNING", "project == x": "=", "metrics.acc > 1": "must end in", "nonsense = 1": "create_time",
		} {
			_, err := s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Viewer: viewer, Filter: text})
			if message := status.Convert(err).Message(); status.Code(err) != codes.InvalidArgument || !strings.Contains(message, "at character") || !strings.Contains(message, says) {
				t.Errorf("%s: %v, want %q in it", text, err, says)
			}
		}
	})
}
