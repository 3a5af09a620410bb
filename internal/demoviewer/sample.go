package demoviewer

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// sample builds the storage of the captures.
func (g *generation) sample() (*storage, error) {
	s := &storage{runs: map[string]*Record{}, sample: true}
	var items []struct {
		ID, Project, Name, Path string
		PID                     int
		Created                 float64  `json:"created_time"`
		BestName                *string  `json:"best_metric_name"`
		BestValue               *float64 `json:"best_metric_value"`
		Alias                   *string
		Tags                    []string
		Assets                  int `json:"assets_count"`
		Made                    int `json:"artifacts_created_count"`
		Used                    int `json:"artifacts_used_count"`
	}
	if err := json.Unmarshal(g.find("GET", "/api/runs").Body, &items); err != nil {
		return nil, fmt.Errorf("decode the run list: %w", err)
	}
	for _, item := range items {
		r := &Record{
			ID: item.ID, Project: item.Project, Name: item.Name, Path: item.Path, Alias: item.Alias, Tags: item.Tags,
			PID: item.PID, Created: item.Created, Started: item.Created,
			AssetsCount: item.Assets, made: item.Made, used: item.Used,
			bestName: item.BestName, bestValue: item.BestValue, Files: map[string][]byte{},
		}
		g.migrate(r)
		if err := g.loadFiles(r); err != nil {
			return nil, fmt.Errorf("load the files of %s: %w", r.ID, err)
		}
		var detail struct{ Duration float64 } // not in any file
		if err := json.Unmarshal(g.find("GET", "/api/runs/"+r.ID).Body, &detail); err == nil {
			r.Lasted = detail.Duration
		}
		s.add(r)
	}
	return s, nil
}

// migrate derives path from project and name and vice versa, for a Viewer that restarts as
// another generation.
func (g *generation) migrate(r *Record) {
	if g.projects {
		r.Path, r.Tags = r.Project+"/"+r.Name, []string{}
		return
	}
	r.Project, r.Name, _ = strings.Cut(r.Path, "/")
}

// loadFiles loads the files that the SDK wrote to the run's folder.
func (g *generation) loadFiles(r *Record) error {
	dir := path.Join("data", string(g.release), "files", r.ID)
	events := &Written{Changed: time.UnixMicro(int64(r.Created * 1e6))}
	r.Events = events
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
			events.Raw = raw
		case "status.json":
			return r.loadStatus(raw)
		default:
			r.Files[rel] = raw
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.Summary, r.Assets = r.fileOr("summary.json", "{}"), r.fileOr("assets.json", "{}")
	return nil
}

// fileOr returns a JSON file with non-finite numbers as null, or a default.
func (r *Record) fileOr(name, missing string) json.RawMessage {
	if raw, has := r.Files[name]; has {
		return NullNonFinite(raw)
	}
	return json.RawMessage(missing)
}

// loadStatus reads status.json.
func (r *Record) loadStatus(raw []byte) error {
	var status struct {
		Status  string  `json:"status"`
		Started float64 `json:"started_at"`
		Ended   float64 `json:"ended_at"`
	}
	if err := json.Unmarshal(raw, &status); err != nil {
		return fmt.Errorf("decode status.json: %w", err)
	}
	r.Status, r.Started, r.Ended = status.Status, status.Started, status.Ended
	return nil
}
