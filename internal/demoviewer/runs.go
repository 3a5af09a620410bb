package demoviewer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// listRuns is GET /api/runs.
func listRuns(v *Viewer, _ *call) answer {
	return ok(v.items(v.gen.list(v.store(), false)))
}

// getRun is GET /api/runs/{run_id}.
func getRun(v *Viewer, c *call) answer {
	r := v.store().visible(c.params["run_id"])
	if r == nil {
		return runNotFound()
	}
	return ok(v.gen.detail(v.root, r, v.clock()))
}

// runNotFound is the 404 of most routes.
func runNotFound() answer { return detail(http.StatusNotFound, "Run not found") }

// patchRun is PATCH /api/runs/{run_id}: alias and tags.
func patchRun(v *Viewer, c *call, fields object) answer {
	var alias *string
	if raw := fields["alias"]; raw != nil && json.Unmarshal(raw, &alias) != nil {
		return *unprocessable(stringType(raw, "body", "alias"))
	}
	tags, bad := readTags(fields["tags"])
	if bad != nil {
		return *bad
	}
	id := c.params["run_id"]
	if !runIDForm.MatchString(id) {
		return *invalidID(id)
	}
	r := v.store().visible(id)
	if r == nil {
		return runNotFound()
	}
	if alias != nil {
		r.alias = nil
		if trimmed := strings.TrimSpace(*alias); trimmed != "" {
			r.alias = &trimmed
		}
	}
	if tags != nil {
		r.tags = tags
	}
	r.rewriteMeta()
	return ok(map[string]any{"ok": true, "alias": r.alias, "tags": append([]string{}, r.tags...)})
}

// readTags reads the tags of a PATCH: nil keeps, blank ones are dropped.
func readTags(raw json.RawMessage) ([]string, *answer) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, unprocessable(listType(raw, "body", "tags"))
	}
	tags := []string{}
	for i, item := range items {
		var tag string
		if err := json.Unmarshal(item, &tag); err != nil || string(item) == "null" {
			return nil, unprocessable(stringType(item, "body", "tags", i))
		}
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags, nil
}

// rewriteMeta keeps meta.json in step with alias, tags and path.
func (r *run) rewriteMeta() {
	meta := map[string]any{}
	if err := json.Unmarshal(r.files["meta.json"], &meta); err != nil {
		meta = map[string]any{"id": r.id, "created_at": pyFloat(r.created), "pid": r.pid}
	}
	meta["alias"], meta["tags"], meta["path"] = r.alias, r.tags, r.path
	raw, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		panic("demoviewer: meta.json: " + err.Error())
	}
	r.files["meta.json"] = raw
}

// environment is GET /api/environment/{run_id}.
func environment(v *Viewer, c *call) answer {
	id := c.params["run_id"]
	r := v.store().visible(id)
	switch {
	case r == nil:
		return detail(http.StatusNotFound, "Run "+id+" not found")
	case r.environment == nil:
		return ok(map[string]any{"available": false})
	default:
		return ok(map[string]any{"available": true, "environment": r.environment})
	}
}

// checkStatuses is POST /api/status/check. No process of the demo dies, so nothing is ever updated.
func checkStatuses(v *Viewer, _ *call) answer {
	running := 0
	for _, r := range v.gen.list(v.store(), false) {
		if status, _ := r.state(v.clock()); status == "running" {
			running++
		}
	}
	return ok(map[string]any{
		"checked": running, "updated": 0,
		"message": fmt.Sprintf("Checked %d running experiments, updated 0 statuses", running),
	})
}

// moveRuns is POST /api/runs/move (0.7).
func moveRuns(v *Viewer, _ *call, fields object) answer {
	var ids []string
	if err := json.Unmarshal(fields["run_ids"], &ids); err != nil {
		return *unprocessable(listType(fields["run_ids"], "body", "run_ids"))
	}
	target := strings.Trim(strings.TrimSpace(text(fields, "target_path")), "/")
	switch {
	case target == "":
		return *badRequest("target_path is required")
	case strings.Contains(target, ".."):
		return *badRequest("Path contains invalid characters or patterns")
	case len(ids) == 0:
		return *badRequest("run_ids is required")
	case len(ids) > 100:
		return *badRequest("Cannot move more than 100 runs at once")
	}
	moved, failed := []map[string]string{}, []map[string]string{}
	for _, id := range ids {
		r := v.store().visible(id)
		switch {
		case !runIDForm.MatchString(id):
			failed = append(failed, map[string]string{"run_id": id, "error": "invalid run_id format"})
		case r == nil:
			failed = append(failed, map[string]string{"run_id": id, "error": "run not found"})
		default:
			moved = append(moved, map[string]string{"run_id": id, "old_path": r.path, "new_path": target})
			r.path = target
			r.rewriteMeta()
		}
	}
	return ok(map[string]any{
		"ok": true, "moved_count": len(moved), "failed_count": len(failed), "moved": moved, "failed": failed,
	})
}
