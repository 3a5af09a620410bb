package realviewer

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// RunSpec describes a run that WriteRun writes without the SDK.
type RunSpec struct {
	// RunID is the id; empty for a new one in the SDK's form.
	RunID string
	// Project and Name say where the run is; later releases get both as a path.
	Project, Name string
	// Alias and Tags are used by 0.6 and later.
	Alias string
	Tags  []string
	// Status is "finished" when empty. A running run needs the PID of a live process, such
	// as the test, or the Viewer reports it as failed.
	Status string
	PID    int
	// Created is the time of the first line; zero for now.
	Created time.Time
	// Lines are the lines of the event file, without newlines; nil for a run that has
	// logged nothing. See Curve.
	Lines iter.Seq[[]byte]
	// Summary becomes summary.json unless nil.
	Summary map[string]any
}

// WriteRun writes a run directly to the disk, in the layout and line format of the release,
// for more rows than its SDK can log during a test. Viewers 0.5.3 and 0.6.0 list it at
// once, 0.7.2 from its next start on (see Viewer.AwaitRuns), so write before the Viewer
// starts.
func WriteRun(storage string, version Version, spec RunSpec) (Run, error) {
	run, err := spec.Place(storage, version)
	if err != nil {
		return Run{}, fmt.Errorf("write run: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(run.Dir, "media"), 0o755); err != nil {
		return Run{}, fmt.Errorf("write run %s: %w", run.RunID, err)
	}
	err = errors.Join(
		spec.writeEvents(run.EventFile),
		spec.writeMeta(run, storage, version),
		spec.writeStatus(run),
	)
	if spec.Summary != nil {
		err = errors.Join(err, writeJSON(run.Dir, "summary.json", spec.Summary))
	}
	if err != nil {
		return Run{}, fmt.Errorf("write run %s: %w", run.RunID, err)
	}
	return run, nil
}

// Place returns the location of the run, and sets defaults in the spec.
func (s *RunSpec) Place(storage string, version Version) (Run, error) {
	if s.Created.IsZero() {
		s.Created = time.Now()
	}
	if s.Status == "" {
		s.Status = "finished"
	}
	if s.RunID == "" {
		random := make([]byte, 3)
		if _, err := rand.Read(random); err != nil {
			return Run{}, err
		}
		s.RunID = s.Created.UTC().Format("20060102_150405_") + hex.EncodeToString(random)
	}
	if s.Project == "" || s.Name == "" {
		return Run{}, errors.New("no project or no name")
	}
	run := Run{RunID: s.RunID, Status: s.Status}
	if version.HasPaths() {
		run.Path, run.Alias, run.Tags = s.Project+"/"+s.Name, s.Alias, s.Tags
		run.Dir = filepath.Join(storage, "runs", filepath.FromSlash(run.Path), s.RunID)
	} else {
		run.Project, run.Name = s.Project, s.Name
		run.Dir = filepath.Join(storage, s.Project, s.Name, "runs", s.RunID)
	}
	run.EventFile = filepath.Join(run.Dir, "events.jsonl")
	return run, nil
}

func (s *RunSpec) writeEvents(path string) (err error) {
	if s.Lines == nil {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	for line := range s.Lines {
		_, _ = out.Write(line) // the writer returns its first error from Flush
		_ = out.WriteByte('\n')
	}
	return out.Flush()
}

func (s *RunSpec) writeMeta(run Run, storage string, version Version) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	meta := map[string]any{
		"id":          s.RunID,
		"created_at":  unixSeconds(s.Created),
		"python":      "3.11.7",
		"platform":    runtime.GOOS,
		"hostname":    host,
		"pid":         s.PID,
		"storage_dir": storage,
	}
	if !version.HasPaths() {
		meta["project"], meta["name"] = s.Project, s.Name
		return writeJSON(run.Dir, "meta.json", meta)
	}
	meta["path"], meta["workspace_root"] = run.Path, storage
	if s.Alias != "" {
		meta["alias"] = s.Alias
	}
	if len(s.Tags) > 0 {
		meta["tags"] = s.Tags
	}
	return errors.Join(
		writeJSON(run.Dir, "meta.json", meta),
		writeJSON(run.Dir, "assets.json", map[string]any{
			"code": map[string]any{}, "config": map[string]any{},
			"datasets": []any{}, "pretrained": []any{}, "outputs": []any{},
		}),
	)
}

func (s *RunSpec) writeStatus(run Run) error {
	status := map[string]any{"status": s.Status, "started_at": unixSeconds(s.Created)}
	if s.Status != "running" {
		status["ended_at"] = unixSeconds(s.Created.Add(time.Minute))
	}
	return writeJSON(run.Dir, "status.json", status)
}

func writeJSON(dir, name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// Curve returns the lines of a training of that many steps, one line per step from step 1
// on, a tenth of a second apart. The first metric falls like a loss, the others rise; every
// value depends on step and position only, so two calls give the same bytes. The yielded
// slice is valid until the next one.
func Curve(start time.Time, rows int, metrics ...string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		names := make([]string, len(metrics))
		for i, metric := range metrics {
			quoted, err := json.Marshal(metric)
			if err != nil {
				panic(err) // a string always marshals
			}
			names[i] = string(quoted) + ": "
		}
		line := make([]byte, 0, 64+48*len(metrics))
		for step := 1; step <= rows; step++ {
			line = appendCurveLine(line[:0], unixSeconds(start)+float64(step)/10, step, names)
			if !yield(line) {
				return
			}
		}
	}
}

// appendCurveLine writes a line like Python's json.dumps, including spaces.
func appendCurveLine(line []byte, seconds float64, step int, names []string) []byte {
	line = append(line, `{"ts": `...)
	line = strconv.AppendFloat(line, seconds, 'f', -1, 64)
	line = append(line, `, "type": "metrics", "data": {`...)
	for i, name := range names {
		line = append(line, name...)
		line = strconv.AppendFloat(line, curveValue(i, step), 'g', -1, 64)
		line = append(line, ", "...)
	}
	line = append(line, `"global_step": `...)
	line = strconv.AppendInt(line, int64(step), 10)
	line = append(line, `, "time": `...)
	line = strconv.AppendFloat(line, seconds, 'f', -1, 64)
	return append(line, "}}"...)
}

// curveValue returns the value of the metric at that position and step.
func curveValue(position, step int) float64 {
	if position == 0 {
		return 1 / float64(step)
	}
	return float64(position) * (1 - 1/float64(step+position))
}
