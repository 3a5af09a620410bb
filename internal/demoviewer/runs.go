package demoviewer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// listRuns is GET /api/runs.
func listRuns(v *Viewer, _ *Call) Answer {
	return OK(v.items(v.Runs()))
}

// getRun is GET /api/runs/{run_id}.
func getRun(v *Viewer, c *Call) Answer {
	r := v.Visible(c.Params["run_id"])
	if r == nil {
		return runNotFound()
	}
	return OK(v.gen.detail(v.root, r, v.clock()))
}

// runNotFound is the 404 of most routes.
func runNotFound() Answer { return Detail(http.StatusNotFound, "Run not found") }

// patchRun is PATCH /api/runs/{run_id}: alias and tags; null keeps them, and blank tags are
// dropped.
func patchRun(v *Viewer, c *Call) Answer {
	var fields struct {
		Alias *string
		Tags  []string
	}
	if err := json.Unmarshal(c.Body, &fields); err != nil {
		return Detail(http.StatusUnprocessableEntity, err.Error())
	}
	id := c.Params["run_id"]
	if !runIDForm.MatchString(id) {
		return invalidID(id)
	}
	r := v.Visible(id)
	if r == nil {
		return runNotFound()
	}
	if fields.Alias != nil {
		r.Alias = nil
		if trimmed := strings.TrimSpace(*fields.Alias); trimmed != "" {
			r.Alias = &trimmed
		}
	}
	if fields.Tags != nil {
		r.Tags = nil
		for _, tag := range fields.Tags {
			if tag = strings.TrimSpace(tag); tag != "" {
				r.Tags = append(r.Tags, tag)
			}
		}
	}
	r.rewriteMeta()
	return OK(map[string]any{"ok": true, "alias": r.Alias, "tags": append([]string{}, r.Tags...)})
}

// rewriteMeta updates alias, tags and path in meta.json.
func (r *Record) rewriteMeta() {
	meta := map[string]any{}
	if err := json.Unmarshal(r.Files["meta.json"], &meta); err != nil {
		meta = map[string]any{"id": r.ID, "created_at": pyFloat(r.Created), "pid": r.PID}
	}
	meta["alias"], meta["tags"], meta["path"] = r.Alias, r.Tags, r.Path
	raw, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		panic("demoviewer: meta.json: " + err.Error())
	}
	r.Files["meta.json"] = raw
}

// checkStatuses is POST /api/status/check. No process of the demo dies, so nothing is
// updated.
func checkStatuses(v *Viewer, _ *Call) Answer {
	running := 0
	for _, r := range v.Runs() {
		if status, _ := r.state(v.clock()); status == "running" {
			running++
		}
	}
	return OK(map[string]any{
		"checked": running, "updated": 0,
		"message": fmt.Sprintf("Checked %d running experiments, updated 0 statuses", running),
	})
}

// moveRuns is POST /api/runs/move (0.7).
func moveRuns(v *Viewer, c *Call) Answer {
	var fields struct {
		IDs    []string `json:"run_ids"`
		Target string   `json:"target_path"`
	}
	if err := json.Unmarshal(c.Body, &fields); err != nil {
		return Detail(http.StatusUnprocessableEntity, err.Error())
	}
	ids, target := fields.IDs, strings.Trim(strings.TrimSpace(fields.Target), "/")
	switch {
	case target == "":
		return badRequest("target_path is required")
	case strings.Contains(target, ".."):
		return badRequest("Path contains invalid characters or patterns")
	case len(ids) == 0:
		return badRequest("run_ids is required")
	case len(ids) > 100:
		return badRequest("Cannot move more than 100 runs at once")
	}
	moved, failed := []map[string]string{}, []map[string]string{}
	for _, id := range ids {
		r := v.Visible(id)
		switch {
		case !runIDForm.MatchString(id):
			failed = append(failed, map[string]string{"run_id": id, "error": "invalid run_id format"})
		case r == nil:
			failed = append(failed, map[string]string{"run_id": id, "error": "run not found"})
		default:
			moved = append(moved, map[string]string{"run_id": id, "old_path": r.Path, "new_path": target})
			r.Path = target
			r.rewriteMeta()
		}
	}
	return OK(map[string]any{
		"ok": true, "moved_count": len(moved), "failed_count": len(failed), "moved": moved, "failed": failed,
	})
}
