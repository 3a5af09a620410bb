package demoviewer

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// safePath is what 0.7 takes for a new folder.
var safePath = regexp.MustCompile(`^[a-zA-Z0-9_/\-. ]+$`)

// listProjects is GET /api/projects: first segments, sorted.
func listProjects(v *Viewer, _ *call) answer {
	return ok(map[string]any{"projects": v.segments(0, "")})
}

// listNames is GET /api/projects/{project}/names: second segments, none for an unknown project.
func listNames(v *Viewer, c *call) answer {
	return ok(map[string]any{"names": v.segments(1, c.params["project"]+"/")})
}

// segments collects the i-th segments of all folders that start with prefix.
func (v *Viewer) segments(i int, prefix string) []string {
	found := map[string]struct{}{}
	for _, folder := range v.allPaths() {
		parts := strings.Split(folder, "/")
		if strings.HasPrefix(folder, prefix) && len(parts) > i && parts[i] != "" {
			found[parts[i]] = struct{}{}
		}
	}
	return sortedKeys(found)
}

// sortedKeys lists a set in the order of code points; never nil, so that JSON has [].
func sortedKeys[V any](set map[string]V) []string {
	keys := make([]string, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// runsOfName is GET /api/projects/{project}/names/{name}/runs. Each release has its own items.
func runsOfName(v *Viewer, c *call) answer {
	want := c.params["project"] + "/" + c.params["name"]
	runs := slices.DeleteFunc(v.gen.list(v.store(), false), func(r *run) bool { return !below(v.gen.folder(r), want) })
	if v.gen.release != Gen06 {
		items := v.items(runs)
		for i := range items {
			if old, isOld := items[i].(oldListItem); isOld {
				old.Made, old.Used = 0, 0 // always 0 on this route
				items[i] = old
			}
		}
		return ok(items)
	}
	items := []map[string]any{}
	for _, r := range runs {
		status, _ := r.state(v.clock())
		items = append(items, map[string]any{
			"run_id": r.id, "path": r.path, "alias": r.alias, "status": status, "start_time": pyFloat(r.created),
		})
	}
	return ok(items)
}

// allPaths lists the folders that hold runs, and in 0.7 those made empty.
func (v *Viewer) allPaths() []string {
	set := map[string]struct{}{}
	for _, r := range v.gen.list(v.store(), false) {
		set[v.gen.folder(r)] = struct{}{}
	}
	if v.gen.sqlite {
		for folder := range v.store().folders {
			set[folder] = struct{}{}
		}
	}
	delete(set, "")
	return sortedKeys(set)
}

// withAncestors adds the folders above.
func withAncestors(paths []string) []string {
	set := map[string]struct{}{}
	for _, path := range paths {
		for i, b := range path + "/" {
			if b == '/' {
				set[path[:i]] = struct{}{}
			}
		}
	}
	return sortedKeys(set)
}

// listPaths is GET /api/paths. 0.6 lists ancestors only when it counts.
func listPaths(v *Viewer, c *call) answer {
	withStats, bad := c.boolQuery("include_stats")
	if bad != nil {
		return *bad
	}
	paths := v.allPaths()
	body := map[string]any{"tree": tree(paths)}
	if v.gen.sqlite || withStats {
		paths = withAncestors(paths)
	}
	body["paths"] = paths
	if withStats {
		body["stats"] = v.pathStats()
	}
	return ok(body)
}

// pathTree is GET /api/paths/tree.
func pathTree(v *Viewer, _ *call) answer { return ok(map[string]any{"tree": tree(v.allPaths())}) }

// tree nests folders.
func tree(paths []string) map[string]any {
	root := map[string]any{}
	for _, path := range paths {
		at := root
		for part := range strings.SplitSeq(path, "/") {
			next, ok := at[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
	}
	return root
}

// pathStats counts runs per folder and ancestor; interrupted ones count in the total only.
func (v *Viewer) pathStats() map[string]map[string]int {
	stats := map[string]map[string]int{}
	for _, r := range v.gen.list(v.store(), false) {
		status, _ := r.state(v.clock())
		for _, folder := range withAncestors([]string{v.gen.folder(r)}) {
			if stats[folder] == nil {
				stats[folder] = map[string]int{"total": 0, "running": 0, "finished": 0, "failed": 0}
			}
			stats[folder]["total"]++
			if _, counted := stats[folder][status]; counted {
				stats[folder][status]++
			}
		}
	}
	return stats
}

// under lists the runs below a path, or exactly in it; an empty path means all.
func (v *Viewer) under(path string, exact bool) []*run {
	return slices.DeleteFunc(v.gen.list(v.store(), false), func(r *run) bool {
		return path != "" && r.path != path && (exact || !below(r.path, path))
	})
}

// runsOfPath is GET /api/paths/runs. 0.6 leaves out tags and asset counts here.
func runsOfPath(v *Viewer, c *call) answer {
	exact, bad := c.boolQuery("exact")
	if bad != nil {
		return *bad
	}
	items := v.items(v.under(c.query.Get("path"), exact))
	for i := range items {
		if item, isNew := items[i].(listItem); isNew && !v.gen.sqlite {
			item.Tags, item.Assets = []string{}, 0
			items[i] = item
		}
	}
	return ok(items)
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
	for folder := range v.store().folders {
		if below(folder, path) {
			delete(v.store().folders, folder)
		}
	}
	body := map[string]any{"path": path, "deleted_count": len(runs), "errors": nil}
	if !v.gen.sqlite {
		body["message"] = fmt.Sprintf("Moved %d runs to recycle bin", len(runs))
	}
	return ok(body)
}

// createPath is POST /api/paths/create (0.7).
func createPath(v *Viewer, _ *call, fields object) answer {
	path := strings.Trim(strings.TrimSpace(text(fields, "path")), "/")
	switch {
	case path == "":
		return *badRequest("path is required")
	case strings.Contains(path, ".."):
		return *badRequest("path must not contain '..'")
	case !safePath.MatchString(path):
		return *badRequest("path contains invalid characters")
	case slices.Contains(withAncestors(v.allPaths()), path):
		return detail(http.StatusConflict, "Path already exists")
	}
	v.store().folders[path] = struct{}{}
	return ok(map[string]any{"ok": true, "path": path})
}
