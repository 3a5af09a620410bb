package demoviewer

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// sample builds the storage that the captures saw.
func (g *generation) sample() (*storage, error) {
	s := newStorage(rootDir)
	var items []struct {
		listItem
		Project string `json:"project"`
		Name    string `json:"name"`
	}
	if err := json.Unmarshal(g.find("GET", "/api/runs").Body, &items); err != nil {
		return nil, fmt.Errorf("decode the run list: %w", err)
	}
	for _, item := range items {
		r := &run{
			id: item.ID, project: item.Project, name: item.Name, path: item.Path, alias: item.Alias, tags: item.Tags,
			pid: item.PID, created: float64(item.Created), started: float64(item.Created),
			bestName: item.BestName, bestValue: (*float64)(item.BestValue), files: map[string][]byte{},
		}
		g.migrate(r)
		if err := g.loadFiles(r); err != nil {
			return nil, fmt.Errorf("load the files of %s: %w", r.id, err)
		}
		g.loadAnswers(r)
		s.add(r)
	}
	if err := g.loadArtifacts(s); err != nil {
		return nil, fmt.Errorf("load the artifacts: %w", err)
	}
	return s, nil
}

// migrate fills path from project and name and the other way round, for a Viewer that restarts as another generation.
func (g *generation) migrate(r *run) {
	if g.projects {
		r.path, r.tags = r.project+"/"+r.name, []string{}
		return
	}
	r.project, r.name, _ = strings.Cut(r.path, "/")
}

// loadFiles reads what the SDK wrote into the run's folder.
func (g *generation) loadFiles(r *run) error {
	dir := path.Join("data", string(g.release), "files", r.id)
	events := &written{changed: time.UnixMicro(int64(r.created * 1e6))}
	r.events = events
	err := fs.WalkDir(data, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := data.ReadFile(name)
		if err != nil {
			return err
		}
		switch rel := strings.TrimPrefix(name, dir+"/"); rel {
		case "events.jsonl":
			events.raw = raw
		case "status.json":
			return r.loadStatus(raw)
		default:
			r.files[rel] = raw
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.summary, r.assets = r.fileOr("summary.json", "{}"), r.fileOr("assets.json", "{}")
	r.environment = r.files["environment.json"]
	r.assetsCount = countAssets(r.assets)
	return nil
}

// fileOr is a JSON file with non-finite numbers as null, or a default.
func (r *run) fileOr(name, missing string) json.RawMessage {
	if raw, has := r.files[name]; has {
		return nullNonFinite(raw)
	}
	return json.RawMessage(missing)
}

// loadStatus reads status.json.
func (r *run) loadStatus(raw []byte) error {
	var status struct {
		Status  string  `json:"status"`
		Started float64 `json:"started_at"`
		Ended   float64 `json:"ended_at"`
	}
	if err := json.Unmarshal(raw, &status); err != nil {
		return fmt.Errorf("decode status.json: %w", err)
	}
	r.status, r.started, r.ended = status.Status, status.Started, status.Ended
	return nil
}

// loadAnswers keeps the answers about a run that no file holds.
func (g *generation) loadAnswers(r *run) {
	if refs := g.find("GET", "/api/runs/"+r.id+"/assets/refs"); refs.Status == 200 {
		r.refs = refs.Body
	}
	var detail struct {
		Duration float64 `json:"duration"`
	}
	if err := json.Unmarshal(g.find("GET", "/api/runs/"+r.id).Body, &detail); err == nil {
		r.lasted = detail.Duration
	}
	if report := g.find("DELETE", "/api/runs/"+r.id+"/permanent?dry_run=true"); report.Status == 200 {
		r.purged = report.Body
	}
}

// loadArtifacts reads the artifacts of 0.5 and which runs made and used them.
func (g *generation) loadArtifacts(s *storage) error {
	if !g.projects {
		return nil
	}
	var items []struct {
		Name    string  `json:"name"`
		Type    string  `json:"type"`
		Latest  int     `json:"latest_version"`
		Created float64 `json:"created_at"`
		Updated float64 `json:"updated_at"`
	}
	if err := json.Unmarshal(g.find("GET", "/api/artifacts").Body, &items); err != nil {
		return fmt.Errorf("decode the artifact list: %w", err)
	}
	for _, item := range items {
		a := &artifact{name: item.Name, kind: item.Type, created: item.Created, updated: item.Updated}
		for n := 1; n <= item.Latest; n++ {
			at := fmt.Sprintf("/api/artifacts/%s/v%d", item.Name, n)
			version := &artifactVersion{files: g.find("GET", at+"/files").Body, lineage: g.find("GET", at+"/lineage").Body}
			if err := json.Unmarshal(g.find("GET", at).Body, &version.artifactDetail); err != nil {
				return fmt.Errorf("decode %s: %w", at, err)
			}
			a.versions = append(a.versions, version)
		}
		s.artifacts = append(s.artifacts, a)
	}
	var stats struct {
		Pool int64 `json:"dedup_pool_size_bytes"`
	}
	if err := json.Unmarshal(g.find("GET", "/api/artifacts/stats").Body, &stats); err != nil {
		return fmt.Errorf("decode the artifact statistics: %w", err)
	}
	s.poolBytes = stats.Pool
	return g.loadArtifactRefs(s)
}

// loadArtifactRefs reads which runs made and used which versions.
func (g *generation) loadArtifactRefs(s *storage) error {
	for _, r := range s.runs {
		var refs struct{ Created, Used []artifactDetail }
		if err := json.Unmarshal(g.find("GET", "/api/runs/"+r.id+"/artifacts").Body, &refs); err != nil {
			return fmt.Errorf("decode the artifacts of %s: %w", r.id, err)
		}
		for _, a := range refs.Created {
			r.created05 = append(r.created05, artifactRef{a.Name, a.Version})
		}
		for _, a := range refs.Used {
			r.used05 = append(r.used05, artifactRef{a.Name, a.Version})
		}
	}
	return nil
}
