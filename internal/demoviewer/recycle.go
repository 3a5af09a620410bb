package demoviewer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Delete moves a run to the bin.
func (r *Record) Delete(now time.Time, reason string) {
	r.deletedAt, r.deleteReason = Epoch(now), reason
}

// softDelete is POST /api/runs/soft-delete.
func softDelete(v *Viewer, c *Call) Answer {
	ids, bad := c.runIDs("delete", 100)
	if bad != nil {
		return *bad
	}
	done, results := batch(ids, func(id string) string {
		r := v.Visible(id)
		if r == nil {
			return "run not found"
		}
		r.Delete(v.clock(), "user_deleted")
		return ""
	})
	return OK(map[string]any{
		"deleted_count": done, "results": results,
		"message": fmt.Sprintf("Soft deleted %d of %d runs", done, len(ids)),
	})
}

// restore is POST /api/recycle-bin/restore.
func restore(v *Viewer, c *Call) Answer {
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
	return OK(map[string]any{
		"restored_count": done, "results": results,
		"message": fmt.Sprintf("Restored %d of %d runs", done, len(ids)),
	})
}

// batch changes runs, each of which may fail separately with a text.
func batch(ids []string, change func(id string) string) (done int, results map[string]any) {
	results = map[string]any{}
	failures := map[string]string{}
	for _, id := range ids {
		failures[id] = change(id)
	}
	for id, failure := range failures {
		if results[id] = map[string]any{"success": true}; failure == "" {
			done++
		} else {
			results[id] = map[string]any{"success": false, "error": failure}
		}
	}
	return done, results
}

// recycleBin is GET /api/recycle-bin.
func recycleBin(v *Viewer, _ *Call) Answer {
	items := []map[string]any{}
	for _, r := range v.gen.list(v.store(), true) {
		status, _ := r.state(v.clock())
		item := map[string]any{
			"id": r.ID, "created_time": pyFloat(r.Created), "deleted_at": pyFloat(r.deletedAt),
			"delete_reason": r.deleteReason, "original_status": status, "run_dir": v.Dir(r),
		}
		if v.gen.projects {
			item["project"], item["name"] = r.Project, r.Name
		} else {
			item["path"], item["alias"] = r.Path, r.Alias
		}
		items = append(items, item)
	}
	return OK(map[string]any{"deleted_runs": items})
}

// emptyBin is POST /api/recycle-bin/empty.
func emptyBin(v *Viewer, c *Call) Answer {
	if !c.Fields().isTrue("confirm") {
		return badRequest("Must set confirm=true to permanently delete")
	}
	deleted := v.gen.list(v.store(), true)
	for _, r := range deleted {
		v.store().remove(r.ID)
	}
	return OK(map[string]any{
		"permanently_deleted": len(deleted), "message": fmt.Sprintf("Permanently deleted %d runs", len(deleted)),
	})
}

// purgeRun is DELETE /api/runs/{run_id}/permanent: a missing run is a 500.
func purgeRun(v *Viewer, c *Call) Answer {
	id := c.Params["run_id"]
	if !runIDForm.MatchString(id) {
		return invalidID(id)
	}
	report, found := v.purge(id, c.Query.Get("dry_run") == "true")
	failure := "Run not found: " + id
	switch {
	case found:
		return OK(report)
	case v.gen.sqlite:
		return Detail(http.StatusInternalServerError, map[string]any{
			"message": failure, "errors": []string{failure}, "partial_failures": []string{},
		})
	default:
		return Detail(http.StatusInternalServerError, failure)
	}
}

// purgeRuns is POST /api/runs/permanent-delete: missing runs fail separately.
func purgeRuns(v *Viewer, c *Call) Answer {
	ids, bad := c.runIDs("delete", 50)
	if bad != nil {
		return *bad
	}
	dryRun := c.Fields().isTrue("dry_run")
	results := map[string]any{}
	deleted, blobs, freed := 0, 0.0, 0.0
	for _, id := range ids {
		report, found := v.purge(id, dryRun)
		results[id] = report
		if found {
			deleted++
			blobs += number(report["blobs_deleted"])
			freed += number(report["bytes_freed"])
		}
	}
	return OK(map[string]any{
		"deleted_count": deleted, "total_runs": len(ids), "total_blobs_deleted": blobs, "total_bytes_freed": freed,
		"dry_run": dryRun, "results": results,
	})
}

// purge permanently deletes a run, whether or not it is in the bin, and returns the
// captured report, or one of nothing freed. A dry run reports run_dir_deleted too.
func (v *Viewer) purge(id string, dryRun bool) (report map[string]any, found bool) {
	found = v.store().runs[id] != nil
	report = map[string]any{
		"run_id": id, "orphaned_assets": []any{}, "kept_assets": []any{}, "errors": []string{},
		"blobs_deleted": 0.0, "manifests_deleted": 0.0, "outputs_deleted": 0.0, "bytes_freed": 0.0,
	}
	if v.gen.sqlite {
		report["partial_failures"] = []string{}
	}
	if known := v.gen.find(http.MethodDelete, "/api/runs/"+id+"/permanent?dry_run=true"); found && known.Status == http.StatusOK {
		if err := json.Unmarshal(known.Body, &report); err != nil {
			panic("demoviewer: captured purge report: " + err.Error())
		}
	}
	if report["success"], report["run_dir_deleted"] = found, found; !found {
		report["errors"] = []string{"Run not found: " + id}
	} else if !dryRun {
		v.store().remove(id)
	}
	return report, found
}

// number reads a number of a captured report.
func number(x any) float64 {
	n, _ := x.(float64)
	return n
}
