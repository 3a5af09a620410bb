package demoviewer

import (
	"cmp"
	"encoding/json"
	"math"
	"time"
)

// run is one experiment of the storage.
type run struct {
	id      string
	project string // 0.5: with name; later releases have path
	name    string
	path    string
	alias   *string
	tags    []string
	pid     int
	created float64
	started float64
	status  string
	ended   float64 // 0 while running
	lasted  float64 // duration in 0.7's database, which differs a little from the files; 0 when it is not known

	bestName     *string
	bestValue    *float64
	assetsCount  int
	assets       json.RawMessage
	refs         json.RawMessage // answer of assets/refs
	purged       json.RawMessage // what a permanent delete reports
	environment  json.RawMessage
	summary      json.RawMessage
	created05    []artifactRef // artifacts that the run made, in 0.5
	used05       []artifactRef
	events       eventFile
	files        map[string][]byte // by path below the run's folder, without events.jsonl and status.json
	deletedAt    float64           // 0 when the run is not in the bin
	deleteReason string
}

// artifactRef names an artifact version.
type artifactRef struct {
	name    string
	version int
}

// commonItem is what lists of all releases show of a run, in the real order of fields.
type commonItem struct {
	ID        string   `json:"id"`
	RunDir    string   `json:"run_dir"`
	Created   pyFloat  `json:"created_time"`
	Status    string   `json:"status"`
	PID       int      `json:"pid"`
	BestValue *pyFloat `json:"best_metric_value"`
	BestName  *string  `json:"best_metric_name"`
}

// listItem is a run in a list of 0.6 and 0.7.
type listItem struct {
	commonItem
	Path   string   `json:"path"`
	Alias  *string  `json:"alias"`
	Tags   []string `json:"tags"`
	Assets int      `json:"assets_count"`
}

// oldListItem is a run in a list of 0.5.
type oldListItem struct {
	commonItem
	Project string `json:"project"`
	Name    string `json:"name"`
	Made    int    `json:"artifacts_created_count"`
	Used    int    `json:"artifacts_used_count"`
}

// dir is the folder of a run on the Viewer's machine.
func (g *generation) dir(root string, r *run) string {
	switch {
	case g.projects:
		return root + "/" + r.project + "/" + r.name + "/runs/" + r.id
	case g.sqlite && r.deletedAt != 0:
		return root + "/runs/.recycle/" + r.id
	case r.path == "":
		return root + "/runs/" + r.id
	default:
		return root + "/runs/" + r.path + "/" + r.id
	}
}

// item is a run as lists show it at time now.
func (g *generation) item(root string, r *run, now time.Time) any {
	status, _ := r.state(now)
	bestName, bestValue := r.best(now)
	if status == "running" && !g.sqlite {
		bestName, bestValue = nil, nil // 0.5 and 0.6 learn of it from summary.json, which finish() writes
	}
	common := commonItem{
		ID: r.id, RunDir: g.dir(root, r), Created: pyFloat(r.created), Status: status, PID: r.pid,
		BestValue: floatPtr(bestValue), BestName: bestName,
	}
	if g.projects {
		return oldListItem{common, r.project, r.name, len(r.created05), len(r.used05)}
	}
	return listItem{common, r.path, r.alias, g.shownTags(r.tags), r.assetsCount}
}

// detail is the answer of GET /api/runs/{run_id}.
func (g *generation) detail(root string, r *run, now time.Time) map[string]any {
	status, ended := r.state(now)
	dir := g.dir(root, r)
	body := map[string]any{
		"id": r.id, "status": status, "pid": r.pid, "run_dir": dir,
		"logs": dir + "/logs.txt", "metrics": dir + "/events.jsonl", "metrics_step": dir + "/events.jsonl",
	}
	if g.projects {
		body["project"], body["name"] = r.project, r.name
		body["artifacts_created_count"], body["artifacts_used_count"] = len(r.created05), len(r.used05)
		return body
	}
	body["path"], body["alias"] = r.path, r.alias
	body["assets"], body["assets_count"] = r.assets, r.assetsCount
	if g.sqlite {
		if ended == 0 {
			ended = epoch(now)
		}
		duration := cmp.Or(r.lasted, ended-r.started)
		body["start_time"], body["duration"] = pyFloat(r.started), pyFloat(duration)
		body["summary"] = r.summary
	}
	return body
}

// state is the status and the time of its end at time now.
func (r *run) state(now time.Time) (status string, ended float64) {
	if t, isLive := r.events.(*training); isLive && r.status == "running" && t.over(now) {
		return "finished", epoch(t.end())
	}
	return r.status, r.ended
}

// best is the best value of the primary metric at time now.
func (r *run) best(now time.Time) (*string, *float64) {
	t, isLive := r.events.(*training)
	if !isLive {
		return r.bestName, r.bestValue
	}
	name, value := bestOfTraining, t.bestAccuracy(now)
	if math.IsNaN(value) {
		return nil, nil
	}
	return &name, &value
}

// statusFile is the content of status.json, which the SDK and the Viewer keep.
func (r *run) statusFile(now time.Time) []byte {
	status, ended := r.state(now)
	file := struct {
		Status  string   `json:"status"`
		Started pyFloat  `json:"started_at"`
		Ended   *pyFloat `json:"ended_at,omitempty"`
	}{Status: status, Started: pyFloat(r.started)}
	if ended != 0 {
		file.Ended = floatPtr(&ended)
	}
	raw, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		panic("demoviewer: status.json: " + err.Error())
	}
	return raw
}
