package demoviewer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// exportPath is GET /api/paths/export as JSON or zip.
func exportPath(v *Viewer, c *call) answer {
	exact, bad := c.boolQuery("exact")
	if !c.query.Has("path") {
		bad = unprocessable(missing(nil, "query", "path"))
	}
	if bad != nil {
		return *bad
	}
	path, format := c.query.Get("path"), c.query.Get("format")
	switch {
	case path == "":
		return *badRequest("path is required")
	case format != "" && format != "json" && format != "zip":
		return *badRequest("Unsupported format: " + format)
	}
	if found := v.under(path, exact); format == "zip" {
		if len(found) == 0 {
			return detail(http.StatusNotFound, "No runs found for this path")
		}
		return v.export("runicorn_export_"+strings.ReplaceAll(path, "/", "_")+".zip", found)
	}
	runs := []map[string]any{}
	for _, r := range v.under(path, exact) {
		status, _ := r.state(v.clock())
		meta := r.fileOr("meta.json", "{}")
		var file struct {
			Created pyFloat `json:"created_at"`
		}
		if err := json.Unmarshal(meta, &file); err != nil {
			file.Created = pyFloat(r.created)
		}
		runs = append(runs, map[string]any{
			"run_id": r.id, "path": r.path, "alias": r.alias, "status": status, "created_time": file.Created,
			"summary": r.summary, "meta": meta,
		})
	}
	return ok(map[string]any{"path": path, "exact": exact, "total_runs": len(runs), "runs": runs})
}

// exportRuns is POST /api/runs/export (0.7): the folders of some runs as one zip.
func exportRuns(v *Viewer, _ *call, fields object) answer {
	var ids []string
	if err := json.Unmarshal(fields["run_ids"], &ids); err != nil || len(ids) == 0 {
		return *badRequest("run_ids must not be empty")
	}
	runs := make([]*run, 0, len(ids))
	for _, id := range ids {
		r := v.store().visible(id)
		if r == nil {
			return detail(http.StatusNotFound, "Run not found: "+id)
		}
		runs = append(runs, r)
	}
	at := v.clock().Format("20060102_150405")
	return v.export(fmt.Sprintf("runicorn_export_%druns_%s.zip", len(runs), at), runs)
}

// export packs the folders of runs.
func (v *Viewer) export(name string, runs []*run) answer {
	files := map[string][]byte{}
	for _, r := range runs {
		for file, raw := range r.allFiles(v.clock()) {
			files[r.id+"/"+file] = raw
		}
	}
	return answer{status: http.StatusOK, contentType: "application/zip", file: bytesDownload(name, zipped(files), v.clock())}
}
