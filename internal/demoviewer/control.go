package demoviewer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// noAssets is the assets.json that the SDK writes when a run starts.
const noAssets = `{"code":{},"config":{},"datasets":[],"pretrained":[],"outputs":[]}`

// Run describes a run that a test adds. Zero fields get plain values.
type Run struct {
	ID      string            // made from Created when empty
	Project string            // and Name: where 0.5 puts it
	Name    string            //
	Path    string            // where 0.6 and 0.7 put it; Project/Name when empty
	Alias   string            //
	Tags    []string          //
	Status  string            // "running" when empty
	Created time.Time         // the Viewer's clock when zero
	Events  []byte            // events.jsonl; nil means that the file does not exist
	Logs    []byte            // logs.txt; nil means that the file does not exist
	Summary []byte            // summary.json
	Assets  []byte            // assets.json
	Files   map[string][]byte // further files by path below the run's folder, such as media/a.png
}

// AddRun adds a run and returns its id.
func (v *Viewer) AddRun(spec Run) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.newRun(spec)
	r.events = &written{raw: slices.Clip(slices.Clone(spec.Events)), changed: v.clock()}
	v.store().add(r)
	return r.id
}

// AddRuns adds n finished runs without events, spread over ten names of the project "bulk", a second apart.
func (v *Viewer) AddRuns(n int) []string {
	ids := make([]string, 0, n)
	first := v.clock().Add(-time.Duration(n) * time.Second)
	for i := range n {
		ids = append(ids, v.AddRun(Run{
			Project: "bulk", Name: fmt.Sprintf("set-%d", i%10), Status: "finished",
			Created: first.Add(time.Duration(i) * time.Second),
		}))
	}
	return ids
}

// AddBigRun adds a finished run of generated rows; they are made when they are read, so a million of them costs nothing
// until then. Each row is one line, and step i+1 stands in line i.
func (v *Viewer) AddBigRun(rows int64) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.newRun(Run{Project: "bulk", Name: "big", Status: "finished"})
	const interval = 10 * time.Millisecond
	start := v.clock().Add(-time.Duration(rows) * interval)
	r.events = newTraining(start, interval, rows, 1, true)
	v.store().add(r)
	return r.id
}

// AppendEvents appends raw bytes to the event file of a run, whole lines or not.
func (v *Viewer) AppendEvents(id string, raw []byte) error {
	return v.changeEvents(id, func(f *written) { f.raw = append(f.raw, raw...) })
}

// ReplaceEvents puts other bytes in place of the event file, as a truncated or rewritten log.
func (v *Viewer) ReplaceEvents(id string, raw []byte) error {
	return v.changeEvents(id, func(f *written) { f.raw = slices.Clone(raw) })
}

// changeEvents changes the event file of a run that a clock does not write.
func (v *Viewer) changeEvents(id string, change func(*written)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.store().runs[id]
	if r == nil {
		return fmt.Errorf("change the events of %q: no such run", id)
	}
	f, isWritten := r.events.(*written)
	if !isWritten {
		return fmt.Errorf("change the events of %q: its events are generated", id)
	}
	change(f)
	f.changed = v.clock()
	return nil
}

// AppendLogs appends to logs.txt of a run.
func (v *Viewer) AppendLogs(id string, raw []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.store().runs[id]
	if r == nil {
		return fmt.Errorf("append to the log of %q: no such run", id)
	}
	r.files[logsName] = append(slices.Clip(r.files[logsName]), raw...)
	v.notify()
	return nil
}

// SetStatus sets the status of a run, in the list and in status.json; a generated run stops growing when it ends.
func (v *Viewer) SetStatus(id, status string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.store().runs[id]
	if r == nil {
		return fmt.Errorf("set the status of %q: no such run", id)
	}
	r.status, r.ended, r.lasted = status, 0, 0
	if status == "running" {
		return nil
	}
	r.ended = v.now()
	if t, isLive := r.events.(*training); isLive && !t.whole {
		frozen := *t // a copy: a download of the old one may be under way without the lock
		frozen.limit, frozen.whole = t.count(v.clock()), true
		r.events = &frozen
	}
	return nil
}

// newRun fills in what a spec leaves out. Called with mu held.
func (v *Viewer) newRun(spec Run) *run {
	created := spec.Created
	if created.IsZero() {
		created = v.clock()
	}
	r := &run{
		id: spec.ID, project: spec.Project, name: spec.Name, path: spec.Path, tags: slices.Clone(spec.Tags), pid: 4242,
		created: epoch(created), started: epoch(created), status: spec.Status, files: map[string][]byte{},
		summary: json.RawMessage("{}"), assets: json.RawMessage(noAssets),
	}
	maps.Copy(r.files, spec.Files)
	if r.id == "" {
		r.id = fmt.Sprintf("%s_%06x", created.UTC().Format("20060102_150405"), len(v.store().order)+0xa0000)
	}
	switch {
	case r.path != "" && r.project == "":
		r.project, r.name, _ = strings.Cut(r.path, "/")
	case r.path == "":
		r.project, r.name = cmp.Or(r.project, "default"), cmp.Or(r.name, "default")
		r.path = r.project + "/" + r.name
	}
	if spec.Alias != "" {
		r.alias = &spec.Alias
	}
	if r.status == "" {
		r.status = "running"
	} else if r.status != "running" {
		r.ended = epoch(created)
	}
	if spec.Summary != nil {
		r.files["summary.json"] = spec.Summary
		r.summary = nullNonFinite(spec.Summary)
	}
	if spec.Assets != nil {
		r.assets, r.assetsCount = spec.Assets, countAssets(spec.Assets)
	}
	if spec.Logs != nil {
		r.files[logsName] = spec.Logs
	}
	r.rewriteMeta()
	return r
}

// addLive adds the run that keeps training: about two and a half lines a second for a day, then it is finished.
func (v *Viewer) addLive(seed uint64) {
	start := v.clock().Add(-10 * time.Minute).Truncate(time.Second)
	mixed := (seed + 1) * 0x9e3779b97f4a7c15
	r := v.newRun(Run{
		ID:      fmt.Sprintf("%s_%06x", start.UTC().Format("20060102_150405"), mixed>>40),
		Project: "vision", Name: "vit", Alias: "live", Tags: []string{"demo", "live"}, Created: start,
		Logs: []byte("training for a day, or until the server stops\n"),
	})
	r.events = newTraining(start, liveInterval, int64(liveFor/liveInterval), seed, false)
	v.store().add(r)
}

// LiveRun returns the id of the newest run that keeps training, or "".
func (v *Viewer) LiveRun() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	newest, at := "", math.Inf(-1)
	for id, r := range v.store().runs {
		if t, isLive := r.events.(*training); isLive && !t.whole && r.created > at {
			newest, at = id, r.created
		}
	}
	return newest
}
