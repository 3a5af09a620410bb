package experiments

import (
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
)

// projectsOf counts entries by viewer and project, in no particular order.
func projectsOf(entries []runs.Entry) []page.Keyed[*runicornapiv1.Project] {
	type key struct{ viewer, project string }
	byKey := make(map[key]*runicornapiv1.Project)
	var out []page.Keyed[*runicornapiv1.Project]
	for i := range entries {
		e := &entries[i]
		k := key{e.Viewer.Name, e.Project}
		p := byKey[k]
		if p == nil {
			p = &runicornapiv1.Project{Viewer: e.Viewer.Name, Project: convert.Text(e.Project)}
			byKey[k] = p
			// There is no key, so the order is that of viewer and project.
			out = append(out, page.Keyed[*runicornapiv1.Project]{Position: page.Position{Viewer: k.viewer, ID: page.Truncate(k.project)}, Item: p})
		}
		p.ExperimentCount++
		if convert.Status(e.Run.Status.Value) == runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING {
			p.RunningCount++
		}
		if e.Run.CreatedTime.After(convert.AsTime(p.GetUpdateTime())) {
			p.UpdateTime = convert.Time(e.Run.CreatedTime.Time)
		}
	}
	return out
}
