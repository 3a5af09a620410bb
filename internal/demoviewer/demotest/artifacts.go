package demotest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// artifactChanges are the changes of the captured artifacts, by "name:v1".
type artifactChanges struct {
	deleted map[string]bool
	stages  map[string]string // lifecycle stages of promoted versions
}

// stage returns the stage of a version.
func (a artifactChanges) stage(label string) string { return cmp.Or(a.stages[label], "experimental") }

// transitions are the allowed promotions.
var transitions = map[string][]string{
	"experimental": {"staging", "archived"},
	"staging":      {"production", "experimental", "archived"},
	"production":   {"staging", "archived"},
	"archived":     {"experimental"},
}

// object is a JSON object of a captured answer.
type object = map[string]any

// captured decodes a captured answer about artifacts; nil if there is none.
func captured[T any](v *Viewer, path string) (body T) {
	for _, a := range v.Captured() {
		if v.HasSample() && a.Method == http.MethodGet && a.Path == path && a.Status == http.StatusOK {
			if err := json.Unmarshal(a.Body, &body); err != nil {
				panic("demotest: captured " + path + ": " + err.Error())
			}
			return body
		}
	}
	return body
}

// versions returns the versions of an artifact that are not deleted, oldest first.
func (v *Viewer) versions(name string) []object {
	return slices.DeleteFunc(captured[[]object](v, "/api/artifacts/"+name+"/versions"), func(version object) bool {
		return v.artifacts.deleted[fmt.Sprintf("%s:v%v", name, version["version"])]
	})
}

// listArtifacts is GET /api/artifacts.
func listArtifacts(v *Viewer, c *call) (answer, bool) {
	items := []object{}
	for _, item := range captured[[]object](v, "/api/artifacts") {
		versions := v.versions(fmt.Sprint(item["name"]))
		if len(versions) == 0 || c.Query.Has("type") && c.Query.Get("type") != item["type"] {
			continue
		}
		latest := versions[len(versions)-1]
		item["num_versions"], item["latest_version"], item["size_bytes"] = len(versions), latest["version"], latest["size_bytes"]
		item["aliases"] = object{"latest": latest["version"]}
		items = append(items, item)
	}
	return demoviewer.OK(items), true
}

// artifactStats is GET /api/artifacts/stats. Deleting does not shrink the pool size that it
// reports.
func artifactStats(v *Viewer, _ *call) (answer, bool) {
	pool, _ := captured[object](v, "/api/artifacts/stats")["dedup_pool_size_bytes"].(float64)
	byType := map[string]map[string]float64{}
	artifacts, total, size := 0, 0, 0.0
	for _, item := range captured[[]object](v, "/api/artifacts") {
		versions := v.versions(fmt.Sprint(item["name"]))
		if len(versions) == 0 {
			continue
		}
		kind := fmt.Sprint(item["type"])
		if byType[kind] == nil {
			byType[kind] = map[string]float64{}
		}
		artifacts, total = artifacts+1, total+len(versions)
		byType[kind]["count"]++
		byType[kind]["versions"] += float64(len(versions))
		for _, version := range versions {
			bytes, _ := version["size_bytes"].(float64)
			byType[kind]["size_bytes"] += bytes
			size += bytes
		}
	}
	saved := max(size-pool, 0)
	return demoviewer.OK(object{
		"total_artifacts": artifacts, "total_versions": total, "total_size_bytes": size, "total_files": 0,
		"dedup_enabled": true, "by_type": byType, "dedup_pool_size_bytes": pool, "space_saved_bytes": saved,
		"dedup_ratio": saved / max(size, 1),
	}), true
}

// listVersions is GET /api/artifacts/{artifact_name}/versions.
func listVersions(v *Viewer, c *call) (answer, bool) {
	versions := v.versions(c.Params["artifact_name"])
	return demoviewer.OK(versions), len(versions) > 0
}

// readVersion is GET /api/artifacts/{artifact_name}/v{version}, its files and its lineage.
// A promoted version cannot be read: the real Viewer fails on the field written by the
// promotion. The lineage of a missing version is empty.
func readVersion(v *Viewer, c *call) (answer, bool) {
	label := c.Params["artifact_name"] + ":v" + c.Params["version"]
	isLineage := strings.HasSuffix(c.Route, "/lineage")
	switch {
	case v.artifacts.deleted[label] && isLineage:
		return demoviewer.OK(object{"root_artifact": label, "nodes": []any{}, "edges": []any{}}), true
	case v.artifacts.deleted[label]:
		return demoviewer.Detail(http.StatusNotFound, "Version not found: "+label), true
	case v.artifacts.stages[label] != "" && !isLineage:
		return demoviewer.Detail(http.StatusInternalServerError,
			"ArtifactMetadata.__init__() got an unexpected keyword argument 'lifecycle_stage'"), true
	}
	return answer{}, false
}

// exists reports whether there is such a version.
func (v *Viewer) exists(name, version string) bool {
	return slices.ContainsFunc(v.versions(name), func(known object) bool { return fmt.Sprint(known["version"]) == version })
}

// deleteVersion is DELETE /api/artifacts/{artifact_name}/v{version}. Without permanent nothing visible changes.
func deleteVersion(v *Viewer, c *call) (answer, bool) {
	name, version := c.Params["artifact_name"], c.Params["version"]
	if !v.exists(name, version) {
		return demoviewer.Detail(http.StatusNotFound, "Version not found"), true
	}
	how, label := "Soft deleted", name+":v"+version
	if c.Query.Get("permanent") == "true" {
		how, v.artifacts.deleted[label] = "Permanently deleted", true
	}
	return demoviewer.OK(object{"success": true, "message": how + " " + label + " locally"}), true
}

// promoteVersion is POST /api/artifacts/{name}/v{version}/promote.
func promoteVersion(v *Viewer, c *call) (answer, bool) {
	to, label := c.Fields().Text("to_stage"), c.Params["name"]+":v"+c.Params["version"]
	if transitions[to] == nil {
		return demoviewer.Detail(http.StatusBadRequest, "Invalid target stage: "+to+
			". Must be one of ['experimental', 'staging', 'production', 'archived']"), true
	}
	if !v.exists(c.Params["name"], c.Params["version"]) {
		return demoviewer.Detail(http.StatusNotFound, "Artifact not found: "+label), true
	}
	from := v.artifacts.stage(label)
	if !slices.Contains(transitions[from], to) {
		return demoviewer.Detail(http.StatusBadRequest, "Invalid transition from "+from+" to "+to), true
	}
	v.artifacts.stages[label] = to
	return demoviewer.OK(object{
		"ok": true, "artifact": label, "from_stage": from, "to_stage": to, "message": "Successfully promoted to " + to,
	}), true
}

// runArtifacts is GET /api/runs/{run_id}/artifacts, which leaves deleted versions out.
func runArtifacts(v *Viewer, c *call) (answer, bool) {
	lists := captured[map[string][]object](v, c.Request.URL.Path)
	if v.Visible(c.Params["run_id"]) == nil || lists == nil {
		return answer{}, false
	}
	for key, items := range lists {
		lists[key] = slices.DeleteFunc(items, func(item object) bool {
			label := fmt.Sprintf("%v:v%v", item["name"], item["version"])
			item["lifecycle_stage"] = v.artifacts.stage(label)
			if v.artifacts.stages[label] == "production" {
				aliases, _ := item["aliases"].([]any)
				item["aliases"] = append(aliases, "production")
			}
			return v.artifacts.deleted[label]
		})
	}
	return demoviewer.OK(lists), true
}
