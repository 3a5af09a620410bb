package demoviewer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// artifact is a named, versioned artifact of 0.5.
type artifact struct {
	name     string
	kind     string
	created  float64
	updated  float64
	versions []*artifactVersion
}

// artifactVersion is one version: its captured detail, and what promoting changed.
type artifactVersion struct {
	artifactDetail
	files   json.RawMessage // answer of /files
	lineage json.RawMessage // answer of /lineage
	stage   string          // lifecycle stage; "" until promoted
	extra   []string        // aliases that promoting set
}

// artifactDetail is the answer for a version.
type artifactDetail struct {
	Name        string          `json:"name"`
	Type        string          `json:"type"`
	Version     int             `json:"version"`
	Created     pyFloat         `json:"created_at"`
	Updated     pyFloat         `json:"updated_at"`
	Run         string          `json:"created_by_run"`
	User        *string         `json:"created_by_user"`
	Size        int64           `json:"size_bytes"`
	Files       int             `json:"num_files"`
	References  int             `json:"num_references"`
	Status      string          `json:"status"`
	Metadata    json.RawMessage `json:"metadata"`
	Description string          `json:"description"`
	Tags        []string        `json:"tags"`
	Aliases     []string        `json:"aliases"`
	Digest      *string         `json:"manifest_digest"`
}

// transitions are the steps that promoting may take.
var transitions = map[string][]string{
	"experimental": {"staging", "archived"},
	"staging":      {"production", "experimental", "archived"},
	"production":   {"staging", "archived"},
	"archived":     {"experimental"},
}

// version finds a version of an artifact.
func (s *storage) version(name string, n int) *artifactVersion {
	if a := s.artifact(name); a != nil {
		for _, version := range a.versions {
			if version.Version == n {
				return version
			}
		}
	}
	return nil
}

// artifact finds an artifact by name; one without versions is gone.
func (s *storage) artifact(name string) *artifact {
	i := slices.IndexFunc(s.artifacts, func(a *artifact) bool { return a.name == name && len(a.versions) > 0 })
	if i < 0 {
		return nil
	}
	return s.artifacts[i]
}

// listArtifacts is GET /api/artifacts, latest change first.
func listArtifacts(v *Viewer, c *call) answer {
	items := []map[string]any{}
	sorted := slices.SortedStableFunc(slices.Values(v.store().artifacts), func(a, b *artifact) int {
		return cmp.Compare(b.updated, a.updated)
	})
	for _, a := range sorted {
		if len(a.versions) == 0 || c.query.Has("type") && c.query.Get("type") != a.kind {
			continue
		}
		latest := a.versions[len(a.versions)-1]
		items = append(items, map[string]any{
			"name": a.name, "type": a.kind, "num_versions": len(a.versions), "latest_version": latest.Version,
			"size_bytes": latest.Size, "created_at": pyFloat(a.created), "updated_at": pyFloat(a.updated),
			"aliases": map[string]int{"latest": latest.Version},
		})
	}
	return ok(items)
}

// artifactNotFound is the 404 for a name.
func artifactNotFound(name string) answer {
	return detail(http.StatusNotFound, "Artifact not found: "+name)
}

// listVersions is GET /api/artifacts/{artifact_name}/versions, oldest first.
func listVersions(v *Viewer, c *call) answer {
	a := v.store().artifact(c.params["artifact_name"])
	if a == nil {
		return artifactNotFound(c.params["artifact_name"])
	}
	items := []map[string]any{}
	for _, version := range a.versions {
		items = append(items, map[string]any{
			"version": version.Version, "created_at": version.Created, "created_by_run": version.Run,
			"size_bytes": version.Size, "num_files": version.Files, "status": version.Status,
			"aliases": version.Aliases, // every version once called latest stays so
		})
	}
	return ok(items)
}

// loadVersion finds what detail and files read. A promoted version cannot be read any more: the real Viewer stumbles
// over the field that promoting wrote.
func (v *Viewer) loadVersion(c *call) (*artifactVersion, *answer) {
	name := c.params["artifact_name"]
	n, bad := intText(c.params["version"], "path", "version")
	if bad != nil {
		return nil, bad
	}
	fail := func(status int, text string) (*artifactVersion, *answer) {
		a := detail(status, text)
		return nil, &a
	}
	version := v.store().version(name, n)
	switch {
	case v.store().artifact(name) == nil:
		return fail(http.StatusNotFound, "Artifact not found: "+name)
	case n <= 0:
		return fail(http.StatusInternalServerError, fmt.Sprintf("Invalid version number: %d", n))
	case version == nil:
		return fail(http.StatusNotFound, fmt.Sprintf("Version not found: %s:v%d", name, n))
	case version.stage != "":
		return fail(http.StatusInternalServerError,
			"ArtifactMetadata.__init__() got an unexpected keyword argument 'lifecycle_stage'")
	}
	return version, nil
}

// getArtifact is GET /api/artifacts/{artifact_name}/v{version}.
func getArtifact(v *Viewer, c *call) answer {
	version, bad := v.loadVersion(c)
	if bad != nil {
		return *bad
	}
	return ok(version.artifactDetail)
}

// artifactFiles is GET /api/artifacts/{artifact_name}/v{version}/files.
func artifactFiles(v *Viewer, c *call) answer {
	version, bad := v.loadVersion(c)
	if bad != nil {
		return *bad
	}
	return ok(version.files)
}

// artifactLineage is GET /api/artifacts/{artifact_name}/v{version}/lineage: empty for a missing version.
func artifactLineage(v *Viewer, c *call) answer {
	name := c.params["artifact_name"]
	n, bad := intText(c.params["version"], "path", "version")
	if bad != nil {
		return *bad
	}
	if v.store().artifact(name) == nil {
		return artifactNotFound(name)
	}
	if version := v.store().version(name, n); version != nil {
		return ok(version.lineage)
	}
	return ok(map[string]any{"root_artifact": fmt.Sprintf("%s:v%d", name, n), "nodes": []any{}, "edges": []any{}})
}

// artifactStats is GET /api/artifacts/stats.
func artifactStats(v *Viewer, _ *call) answer {
	type kindStats struct {
		Count    int   `json:"count"`
		Versions int   `json:"versions"`
		Size     int64 `json:"size_bytes"`
	}
	byType := map[string]kindStats{}
	artifacts, versions, size := 0, 0, int64(0)
	for _, a := range v.store().artifacts {
		if len(a.versions) == 0 {
			continue
		}
		k := byType[a.kind]
		k.Count, k.Versions = k.Count+1, k.Versions+len(a.versions)
		for _, version := range a.versions {
			k.Size += version.Size
			size += version.Size
		}
		byType[a.kind] = k
		artifacts++
		versions += len(a.versions)
	}
	saved := max(size-v.store().poolBytes, 0)
	return ok(map[string]any{
		"total_artifacts": artifacts, "total_versions": versions, "total_size_bytes": size, "total_files": 0,
		"dedup_enabled": true, "by_type": byType, "dedup_pool_size_bytes": v.store().poolBytes,
		"space_saved_bytes": saved, "dedup_ratio": pyFloat(float64(saved) / float64(max(size, 1))),
	})
}

// deleteArtifact is DELETE /api/artifacts/{artifact_name}/v{version}. Without permanent nothing visible changes.
func deleteArtifact(v *Viewer, c *call) answer {
	permanent, bad := c.boolQuery("permanent")
	if bad != nil {
		return *bad
	}
	name := c.params["artifact_name"]
	n, bad := intText(c.params["version"], "path", "version")
	if bad != nil {
		return *bad
	}
	if v.store().version(name, n) == nil {
		return detail(http.StatusNotFound, "Version not found")
	}
	how := "Soft deleted"
	if permanent {
		how = "Permanently deleted"
		a := v.store().artifact(name)
		a.versions = slices.DeleteFunc(a.versions, func(version *artifactVersion) bool { return version.Version == n })
	}
	return ok(map[string]any{"success": true, "message": fmt.Sprintf("%s %s:v%d locally", how, name, n)})
}

// promoteArtifact is POST /api/artifacts/{name}/v{version}/promote.
func promoteArtifact(v *Viewer, c *call, fields object) answer {
	n, bad := intText(c.params["version"], "path", "version")
	if bad != nil {
		return *bad
	}
	to := text(fields, "to_stage")
	if _, known := transitions[to]; !known {
		return *badRequest("Invalid target stage: " + to +
			". Must be one of ['experimental', 'staging', 'production', 'archived']")
	}
	label := fmt.Sprintf("%s:v%d", c.params["name"], n)
	version := v.store().version(c.params["name"], n)
	if version == nil {
		return artifactNotFound(label)
	}
	from := cmp.Or(version.stage, "experimental")
	if !slices.Contains(transitions[from], to) {
		return *badRequest("Invalid transition from " + from + " to " + to)
	}
	for _, other := range v.store().artifact(c.params["name"]).versions {
		if to == "production" || other == version {
			other.extra = nil // production is one version's alias
		}
	}
	if version.stage = to; to == "production" {
		version.extra = []string{"production"}
	}
	return ok(map[string]any{
		"ok": true, "artifact": label, "from_stage": from, "to_stage": to,
		"message": "Successfully promoted to " + to,
	})
}

// runArtifacts is GET /api/runs/{run_id}/artifacts.
func runArtifacts(v *Viewer, c *call) answer {
	r := v.store().visible(c.params["run_id"])
	if r == nil {
		return detail(http.StatusNotFound, "Run not found: "+c.params["run_id"])
	}
	return ok(map[string]any{"created": v.store().refs(r.created05), "used": v.store().refs(r.used05)})
}

// refs describes artifact versions; deleted ones are left out.
func (s *storage) refs(refs []artifactRef) []map[string]any {
	items := []map[string]any{}
	for _, ref := range refs {
		version := s.version(ref.name, ref.version)
		if version == nil {
			continue
		}
		items = append(items, map[string]any{
			"name": version.Name, "type": version.Type, "version": version.Version, "size_bytes": version.Size,
			"created_at": version.Created, "description": version.Description,
			"aliases":         slices.Concat(version.Aliases, version.extra),
			"lifecycle_stage": cmp.Or(version.stage, "experimental"),
		})
	}
	return items
}
