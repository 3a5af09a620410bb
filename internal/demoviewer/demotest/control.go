package demotest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// Run describes a run to be added. Zero fields get defaults.
type Run struct {
	ID      string            // generated from Created when empty
	Project string            // with Name: the location in 0.5
	Name    string            //
	Path    string            // the location in 0.6 and 0.7; Project/Name when empty
	Alias   string            //
	Tags    []string          //
	Status  string            // "running" when empty
	Created time.Time         // the Viewer's clock when zero
	Events  []byte            // events.jsonl; nil if the file does not exist
	Logs    []byte            // logs.txt; nil if the file does not exist
	Summary []byte            // summary.json
	Files   map[string][]byte // further files by path below the run's folder, such as media/a.png
}

// AddRun adds a run and returns its id.
func (v *Viewer) AddRun(spec Run) string { return v.Add(v.newRun(spec)) }

// newRun returns a record with the defaults of a spec.
func (v *Viewer) newRun(spec Run) *demoviewer.Record {
	if spec.Created.IsZero() {
		spec.Created = v.Clock()
	}
	created := demoviewer.Epoch(spec.Created)
	r := &demoviewer.Record{
		ID: spec.ID, Project: spec.Project, Name: spec.Name, Path: spec.Path, Tags: slices.Clone(spec.Tags), PID: 4242,
		Created: created, Started: created, Status: cmp.Or(spec.Status, "running"), Files: map[string][]byte{},
		Summary: []byte("{}"), Assets: []byte(demoviewer.NoAssets),
		Events: &demoviewer.Written{Raw: slices.Clip(slices.Clone(spec.Events)), Changed: v.Clock()},
	}
	maps.Copy(r.Files, spec.Files)
	switch {
	case r.Path != "" && r.Project == "":
		r.Project, r.Name, _ = strings.Cut(r.Path, "/")
	case r.Path == "":
		r.Project, r.Name = cmp.Or(r.Project, "default"), cmp.Or(r.Name, "default")
		r.Path = r.Project + "/" + r.Name
	}
	if spec.Alias != "" {
		r.Alias = &spec.Alias
	}
	if r.Status != "running" {
		r.Ended = created
	}
	if spec.Summary != nil {
		r.Files["summary.json"] = spec.Summary
		r.Summary = demoviewer.NullNonFinite(spec.Summary)
	}
	if assets, ok := spec.Files["assets.json"]; ok {
		r.Assets = assets
	}
	if spec.Logs != nil {
		r.Files["logs.txt"] = spec.Logs
	}
	return r
}

// AddRuns adds n finished runs without events, a second apart, under ten names of the
// project "bulk".
func (v *Viewer) AddRuns(n int) []string {
	ids := make([]string, 0, n)
	first := v.Clock().Add(-time.Duration(n) * time.Second)
	for i := range n {
		ids = append(ids, v.AddRun(Run{
			Project: "bulk", Name: fmt.Sprintf("set-%d", i%10), Status: "finished",
			Created: first.Add(time.Duration(i) * time.Second),
		}))
	}
	return ids
}

// AddBigRun adds a finished run of generated rows. They are generated when read, so a
// million of them costs nothing until then. Each row is one line; line i has step i+1.
func (v *Viewer) AddBigRun(rows int64) string {
	const interval = 10 * time.Millisecond
	start := v.Clock().Add(-time.Duration(rows) * interval)
	r := v.newRun(Run{Project: "bulk", Name: "big", Status: "finished"})
	r.Events = demoviewer.NewTraining(start, interval, rows, true)
	return v.Add(r)
}

// AppendEvents appends raw bytes, complete lines or not, to the event file of a run.
func (v *Viewer) AppendEvents(id string, raw []byte) error {
	return v.changeEvents(id, func(f *demoviewer.Written) { f.Raw = append(f.Raw, raw...) })
}

// ReplaceEvents replaces the event file, like a truncation or rewrite of the log.
func (v *Viewer) ReplaceEvents(id string, raw []byte) error {
	return v.changeEvents(id, func(f *demoviewer.Written) { f.Raw = slices.Clone(raw) })
}

// changeEvents changes the event file of a run whose events are not generated.
func (v *Viewer) changeEvents(id string, change func(*demoviewer.Written)) error {
	return v.Edit(id, func(r *demoviewer.Record) error {
		f, isWritten := r.Events.(*demoviewer.Written)
		if !isWritten {
			return errors.New("its events are generated")
		}
		change(f)
		f.Changed = v.Clock()
		return nil
	})
}

// AppendLogs appends to logs.txt of a run.
func (v *Viewer) AppendLogs(id string, raw []byte) error {
	return v.Edit(id, func(r *demoviewer.Record) error {
		r.Files["logs.txt"] = append(slices.Clip(r.Files["logs.txt"]), raw...)
		return nil
	})
}

// SetStatus sets the status of a run, in the list and in status.json; a generated run stops growing when it ends.
func (v *Viewer) SetStatus(id, status string) error {
	return v.Edit(id, func(r *demoviewer.Record) error {
		r.Status, r.Ended, r.Lasted = status, 0, 0
		if status == "running" {
			return nil
		}
		r.Ended = demoviewer.Epoch(v.Clock())
		if t, isLive := r.Events.(*demoviewer.Training); isLive {
			r.Events = t.Stopped(v.Clock())
		}
		return nil
	})
}

// Restart turns the Viewer into another generation, like an upgrade on the same storage:
// the runs stay, the memory of the old process (saved connections) is lost. Request counts
// continue.
func (v *Viewer) Restart(release Generation) error {
	v.Locked(func() { v.settings = settings{} })
	return v.Viewer.Restart(release)
}
