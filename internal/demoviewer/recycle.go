package demoviewer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// result is the outcome of one run in a batch.
type result struct {
	Success bool   `json:"success"`
	Error   string `json:"error,omitempty"`
}

// softDelete is POST /api/runs/soft-delete.
func softDelete(v *Viewer, c *call) answer {
	ids, bad := c.runIDs("delete", 100)
	if bad != nil {
		return *bad
	}
	done, results := batch(ids, func(id string) string {
		r := v.store().visible(id)
		if r == nil {
			return "run not found"
		}
		r.deletedAt, r.deleteReason = v.now(), "user_deleted"
		return ""
	})
	return ok(map[string]any{
		"deleted_count": done, "results": results,
		"message": fmt.Sprintf("Soft deleted %d of %d runs", done, len(ids)),
	})
}

// deletePath is POST /api/paths/soft-delete.
func deletePath(v *Viewer, _ *call, fields object) answer {
	path := text(fields, "path")
	if path == "" {
		return *badRequest("path is required")
	}
	runs, now := v.under(path, flag(fields, "exact")), v.now()
	for _, r := range runs {
		r.deletedAt, r.deleteReason = now, "path_batch_delete"
	}
	body := map[string]any{"path": path, "deleted_count": len(runs), "errors": nil}
	if !v.gen.sqlite {
		body["message"] = fmt.Sprintf("Moved %d runs to recycle bin", len(runs))
	}
	return ok(body)
}

// under lists the runs below a path, or exactly in it; an empty path means all.
func (v *Viewer) under(path string, exact bool) []*run {
	return slices.DeleteFunc(v.gen.list(v.store(), false), func(r *run) bool {
		return path != "" && r.path != path && (exact || !below(r.path, path))
	})
}

// restore is POST /api/recycle-bin/restore.
func restore(v *Viewer, c *call) answer {
	ids, bad := c.runIDs("restore", 100)
	if bad != nil {
		return *bad
	}
	done, results := batch(ids, func(id string) string {
		r := v.store().runs[id]
		switch {
		case r == nil:
			return "run not found"
		case r.deletedAt == 0:
			return "run not deleted"
		}
		r.deletedAt, r.deleteReason = 0, ""
		return ""
	})
	return ok(map[string]any{
		"restored_count": done, "results": results,
		"message": fmt.Sprintf("Restored %d of %d runs", done, len(ids)),
	})
}

// batch applies change to every id. An id given twice keeps the outcome of its last turn, as in the real Viewer.
func batch(ids []string, change func(id string) (failure string)) (done int, results map[string]result) {
	results = map[string]result{}
	for _, id := range ids {
		failure := change(id)
		results[id] = result{Success: failure == "", Error: failure}
	}
	for _, r := range results {
		if r.Success {
			done++
		}
	}
	return done, results
}

// recycleBin is GET /api/recycle-bin.
func recycleBin(v *Viewer, _ *call) answer {
	items := []map[string]any{}
	for _, r := range v.gen.list(v.store(), true) {
		status, _ := r.state(v.clock())
		item := map[string]any{
			"id": r.id, "created_time": pyFloat(r.created), "deleted_at": pyFloat(r.deletedAt),
			"delete_reason": r.deleteReason, "original_status": status, "run_dir": v.gen.dir(v.root, r),
		}
		if v.gen.projects {
			item["project"], item["name"] = r.project, r.name
		} else {
			item["path"], item["alias"] = r.path, r.alias
		}
		items = append(items, item)
	}
	return ok(map[string]any{"deleted_runs": items})
}

// emptyBin is POST /api/recycle-bin/empty.
func emptyBin(v *Viewer, _ *call, fields object) answer {
	if !flag(fields, "confirm") {
		return *badRequest("Must set confirm=true to permanently delete")
	}
	deleted := v.gen.list(v.store(), true)
	for _, r := range deleted {
		v.store().remove(r.id)
	}
	return ok(map[string]any{
		"permanently_deleted": len(deleted), "message": fmt.Sprintf("Permanently deleted %d runs", len(deleted)),
	})
}

// purgeRun is DELETE /api/runs/{run_id}/permanent: a missing run is a 500 here.
func purgeRun(v *Viewer, c *call) answer {
	dryRun, bad := c.boolQuery("dry_run")
	if bad != nil {
		return *bad
	}
	id := c.params["run_id"]
	if !runIDForm.MatchString(id) {
		return *invalidID(id)
	}
	report, found := v.purge(id, dryRun)
	switch {
	case found:
		return ok(report)
	case v.gen.sqlite:
		failure := "Run not found: " + id
		return detail(http.StatusInternalServerError, map[string]any{
			"message": failure, "errors": []string{failure}, "partial_failures": []string{},
		})
	default:
		return detail(http.StatusInternalServerError, "Run not found: "+id)
	}
}

// purgeRuns is POST /api/runs/permanent-delete: missing runs fail alone.
func purgeRuns(v *Viewer, c *call) answer {
	ids, bad := c.runIDs("delete", 50)
	if bad != nil {
		return *bad
	}
	var fields struct {
		DryRun bool `json:"dry_run"`
	}
	if err := json.Unmarshal(c.body, &fields); err != nil {
		fields.DryRun = true // a value that Python would take for true
	}
	results := map[string]any{}
	deleted, blobs, freed := 0, 0, int64(0)
	for _, id := range ids {
		report, found := v.purge(id, fields.DryRun)
		results[id] = report
		if found {
			deleted++
			blobs += report.Blobs
			freed += report.Freed
		}
	}
	return ok(map[string]any{
		"deleted_count": deleted, "total_runs": len(ids), "total_blobs_deleted": blobs, "total_bytes_freed": freed,
		"dry_run": fields.DryRun, "results": results,
	})
}

// purgeReport is what a permanent delete of one run reports. A dry run says run_dir_deleted too.
type purgeReport struct {
	Success   bool              `json:"success"`
	RunID     string            `json:"run_id"`
	DirGone   bool              `json:"run_dir_deleted"`
	Orphaned  []json.RawMessage `json:"orphaned_assets"`
	Kept      []json.RawMessage `json:"kept_assets"`
	Blobs     int               `json:"blobs_deleted"`
	Manifests int               `json:"manifests_deleted"`
	Outputs   int               `json:"outputs_deleted"`
	Freed     int64             `json:"bytes_freed"`
	Errors    []string          `json:"errors"`
	Partial   *[]string         `json:"partial_failures,omitempty"` // 0.7
}

// purge deletes a run for good, whether or not it is in the bin, and reports.
func (v *Viewer) purge(id string, dryRun bool) (purgeReport, bool) {
	report := purgeReport{RunID: id, Orphaned: []json.RawMessage{}, Kept: []json.RawMessage{}, Errors: []string{}}
	if v.gen.sqlite {
		report.Partial = &[]string{}
	}
	r := v.store().runs[id]
	if r == nil {
		report.Errors = []string{"Run not found: " + id}
		return report, false
	}
	if r.purged != nil {
		if err := json.Unmarshal(r.purged, &report); err != nil {
			panic("demoviewer: captured purge report: " + err.Error())
		}
	}
	report.Success, report.DirGone = true, true
	if !dryRun {
		v.store().remove(id)
	}
	return report, true
}
