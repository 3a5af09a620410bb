package demoviewer

import (
	"cmp"
	"encoding/json"
	"math"
	"time"
)

// Record is one experiment of the storage.
type Record struct {
	ID      string
	Project string // 0.5: with name; later releases have path
	Name    string
	Path    string
	Alias   *string
	Tags    []string
	PID     int
	Created float64
	Started float64
	Status  string
	Ended   float64 // 0 while running
	Lasted  float64 // duration in 0.7's database, which differs slightly from the files; 0 if unknown

	bestName     *string
	bestValue    *float64
	AssetsCount  int
	Assets       json.RawMessage
	Summary      json.RawMessage
	made, used   int // artifacts, in 0.5
	Events       EventFile
	Files        map[string][]byte // by path below the run's folder, without events.jsonl and status.json
	deletedAt    float64           // 0 unless the run is in the bin
	deleteReason string
}

// dir returns the folder of a run on the Viewer's machine.
func (g *generation) dir(root string, r *Record) string {
	switch {
	case g.projects:
		return root + "/" + r.Project + "/" + r.Name + "/runs/" + r.ID
	case g.sqlite && r.deletedAt != 0:
		return root + "/runs/.recycle/" + r.ID
	case r.Path == "":
		return root + "/runs/" + r.ID
	default:
		return root + "/runs/" + r.Path + "/" + r.ID
	}
}

// item returns a run as an entry of lists at time now.
func (g *generation) item(root string, r *Record, now time.Time) map[string]any {
	status, _ := r.state(now)
	bestName, bestValue := r.best(now)
	if status == "running" && !g.sqlite {
		bestName, bestValue = nil, nil // 0.5 and 0.6 read it from summary.json, which finish() writes
	}
	body := map[string]any{
		"id": r.ID, "run_dir": g.dir(root, r), "created_time": pyFloat(r.Created), "status": status, "pid": r.PID,
		"best_metric_value": (*pyFloat)(bestValue), "best_metric_name": bestName,
	}
	if g.projects {
		body["project"], body["name"] = r.Project, r.Name
		body["artifacts_created_count"], body["artifacts_used_count"] = r.made, r.used
		return body
	}
	body["path"], body["alias"], body["tags"], body["assets_count"] = r.Path, r.Alias, g.shownTags(r.Tags), r.AssetsCount
	return body
}

// detail is the answer of GET /api/runs/{run_id}.
func (g *generation) detail(root string, r *Record, now time.Time) map[string]any {
	status, ended := r.state(now)
	dir := g.dir(root, r)
	body := map[string]any{
		"id": r.ID, "status": status, "pid": r.PID, "run_dir": dir,
		"logs": dir + "/logs.txt", "metrics": dir + "/events.jsonl", "metrics_step": dir + "/events.jsonl",
	}
	if g.projects {
		body["project"], body["name"] = r.Project, r.Name
		body["artifacts_created_count"], body["artifacts_used_count"] = r.made, r.used
		return body
	}
	body["path"], body["alias"] = r.Path, r.Alias
	body["assets"], body["assets_count"] = r.Assets, r.AssetsCount
	if g.sqlite {
		if ended == 0 {
			ended = Epoch(now)
		}
		duration := cmp.Or(r.Lasted, ended-r.Started)
		body["start_time"], body["duration"] = pyFloat(r.Started), pyFloat(duration)
		body["summary"] = r.Summary
	}
	return body
}

// state returns the status and the end time at time now.
func (r *Record) state(now time.Time) (status string, ended float64) {
	if t, isLive := r.Events.(*Training); isLive && r.Status == "running" && t.over(now) {
		return "finished", Epoch(t.end())
	}
	return r.Status, r.Ended
}

// best returns the best value of the primary metric at time now.
func (r *Record) best(now time.Time) (*string, *float64) {
	t, isLive := r.Events.(*Training)
	if !isLive {
		return r.bestName, r.bestValue
	}
	name, value := bestOfTraining, t.bestAccuracy(now)
	if math.IsNaN(value) {
		return nil, nil
	}
	return &name, &value
}

// statusFile returns status.json, which the SDK and the Viewer write.
func (r *Record) statusFile(now time.Time) []byte {
	status, ended := r.state(now)
	file := map[string]any{"status": status, "started_at": pyFloat(r.Started)}
	if ended != 0 {
		file["ended_at"] = pyFloat(ended)
	}
	raw, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		panic("demoviewer: status.json: " + err.Error())
	}
	return raw
}
