package demoviewer

import (
	"fmt"
	"time"
)

// NoAssets is the assets.json that the SDK writes when a run starts.
const NoAssets = `{"code":{},"config":{},"datasets":[],"pretrained":[],"outputs":[]}`

// Add adds a run. An empty id is generated from its time.
func (v *Viewer) Add(r *Record) (id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.ID == "" {
		at := time.UnixMicro(int64(r.Created * 1e6)).UTC()
		r.ID = fmt.Sprintf("%s_%06x", at.Format("20060102_150405"), len(v.store().order)+0xa0000)
	}
	r.rewriteMeta()
	v.store().add(r)
	return r.ID
}

// Edit changes a run, which may be in the bin.
func (v *Viewer) Edit(id string, change func(*Record) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.store().runs[id]
	if r == nil {
		return fmt.Errorf("change the run %q: no such run", id)
	}
	return change(r)
}

// LiveRun returns the id of the run that keeps training, or "".
func (v *Viewer) LiveRun() string { return v.live }

// addLive adds the run that keeps training: about two and a half lines per second for a
// day, then it is finished.
func (v *Viewer) addLive() {
	start, alias := v.clock().Add(-10*time.Minute).Truncate(time.Second), "live"
	v.live = v.Add(&Record{
		ID: start.UTC().Format("20060102_150405") + "_9e3779", Status: "running", PID: 4242,
		Project: "vision", Name: "vit", Path: "vision/vit", Alias: &alias, Tags: []string{"demo", "live"},
		Created: Epoch(start), Started: Epoch(start), Summary: []byte("{}"), Assets: []byte(NoAssets),
		Events: NewTraining(start, liveInterval, int64(liveFor/liveInterval), false),
		Files:  map[string][]byte{logsName: []byte("training for a day, or until the server stops\n")},
	})
}
