package service

import (
	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
)

// projectsOf counts entries by viewer and project, in no order.
func projectsOf(entries []entry) []placed[*runicornv1.Project] {
	type key struct{ viewer, project string }
	byKey := make(map[key]*runicornv1.Project)
	var out []placed[*runicornv1.Project]
	for i := range entries {
		e := &entries[i]
		k := key{e.viewer.Name, e.project}
		p := byKey[k]
		if p == nil {
			p = &runicornv1.Project{Viewer: e.viewer.Name, Project: validText(e.project)}
			byKey[k] = p
			// All keys are alike, so viewer and project make the order.
			out = append(out, placed[*runicornv1.Project]{position{viewer: k.viewer, id: clip(k.project)}, p})
		}
		p.ExperimentCount++
		if experimentStatus(e.run.Status.Value) == runicornv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING {
			p.RunningCount++
		}
		if e.run.CreatedTime.After(asTime(p.GetUpdateTime())) {
			p.UpdateTime = timeOf(e.run.CreatedTime.Time)
		}
	}
	return out
}
