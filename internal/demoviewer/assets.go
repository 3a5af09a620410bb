package demoviewer

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"path"
	"strings"
	"time"
)

// runAssets is GET /api/runs/{run_id}/assets.
func runAssets(v *Viewer, c *call) answer {
	r := v.store().visible(c.params["run_id"])
	if r == nil {
		return runNotFound()
	}
	return ok(map[string]any{"run_id": r.id, "assets": r.assets, "assets_count": r.assetsCount})
}

// assetRefs is GET /api/runs/{run_id}/assets/refs, which finds runs in the bin too.
func assetRefs(v *Viewer, c *call) answer {
	id := c.params["run_id"]
	if !runIDForm.MatchString(id) {
		return *invalidID(id)
	}
	r := v.store().runs[id]
	switch {
	case r == nil:
		return runNotFound()
	case r.refs != nil:
		return ok(r.refs)
	default:
		return ok(map[string]any{
			"run_id": id, "orphaned_assets": []any{}, "shared_assets": []any{}, "orphaned_count": 0, "shared_count": 0,
		})
	}
}

// runImages is GET /api/runs/{run_id}/images (0.7): the image events whose file is there.
func runImages(v *Viewer, c *call) answer {
	r := v.store().visible(c.params["run_id"])
	if r == nil {
		return runNotFound()
	}
	images := []map[string]any{}
	if f, isWritten := r.events.(*written); isWritten {
		for line := range bytes.Lines(f.raw) {
			e, good := parseEvent(line)
			name := text(e.Data, "path")
			if !good || e.Type != "image" || r.files[name] == nil {
				continue
			}
			images = append(images, map[string]any{
				"step": e.Data["step"], "key": text(e.Data, "key"), "path": v.gen.dir(v.root, r) + "/" + name,
			})
		}
	}
	return ok(map[string]any{"run_id": r.id, "images": images})
}

// downloadAsset is GET /api/runs/{run_id}/assets/download.
func downloadAsset(v *Viewer, c *call) answer {
	if !c.query.Has("path") {
		return *unprocessable(missing(nil, "query", "path"))
	}
	r := v.store().visible(c.params["run_id"])
	if r == nil {
		return runNotFound()
	}
	target := path.Clean(c.query.Get("path"))
	if !below(target, v.root) {
		return detail(http.StatusForbidden, "Unsafe path")
	}
	own := below(target, v.gen.dir(v.root, r)) || isArchive(r, target)
	if v.gen.sqlite && !own {
		return detail(http.StatusForbidden, "Path does not belong to this run")
	}
	file := v.open(target)
	if file == nil {
		return detail(http.StatusNotFound, "File not found")
	}
	if name := path.Base(c.query.Get("filename")); c.query.Get("filename") != "" {
		file.name = name
	}
	return answer{status: http.StatusOK, file: file}
}

// isArchive tells whether a path is an archive of the run's assets.
func isArchive(r *run, target string) bool {
	return bytes.Contains(r.assets, encode(target))
}

// open finds a file or folder below the storage root.
func (v *Viewer) open(target string) *download {
	now := v.clock()
	for _, id := range v.store().order {
		r := v.store().runs[id]
		dir := v.gen.dir(v.root, r)
		if target == dir {
			return bytesDownload(id+".zip", zipped(r.allFiles(now)), now)
		}
		if name, inside := strings.CutPrefix(target, dir+"/"); inside {
			return r.open(name, now)
		}
		if isArchive(r, target) && path.Ext(target) == ".json" {
			return bytesDownload("set.zip", zipped(archivedSet()), now)
		}
	}
	return nil
}

// open finds a file of the run.
func (r *run) open(name string, now time.Time) *download {
	changed := time.UnixMicro(int64(max(r.created, r.ended) * 1e6))
	switch {
	case name == "events.jsonl":
		return r.openEvents(now)
	case name == "status.json":
		return bytesDownload(name, r.statusFile(now), changed)
	case name == logsName && r.files[name] != nil:
		return bytesDownload(name, r.log(now), r.logChanged(now, changed))
	case r.files[name] != nil:
		return bytesDownload(path.Base(name), r.files[name], changed)
	default:
		return nil
	}
}

// openEvents serves the event file as it is now; what is appended later is not in this answer.
func (r *run) openEvents(now time.Time) *download {
	events := r.events
	if f, isWritten := events.(*written); isWritten {
		if f.raw == nil {
			return nil // nothing was ever logged: the file does not exist
		}
		events = f.snapshot()
	}
	return &download{
		name: "events.jsonl", size: events.size(now), modified: events.modified(now), write: events.writeRange,
	}
}

// allFiles collects a run's folder for a zip.
func (r *run) allFiles(now time.Time) map[string][]byte {
	files := map[string][]byte{"status.json": r.statusFile(now)}
	maps.Copy(files, r.files)
	if f, isWritten := r.events.(*written); isWritten && f.raw != nil {
		files["events.jsonl"] = f.raw
	}
	return files
}

// archivedSet is the saved dataset of the sample runs (testdata/sample.py).
func archivedSet() map[string][]byte {
	return map[string][]byte{"a.txt": []byte("a,b\n1,2\n"), "b.txt": []byte("hello\n")}
}

// zipped packs files.
func zipped(files map[string][]byte) []byte {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, name := range sortedKeys(files) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			panic("demoviewer: zip in memory: " + err.Error())
		}
	}
	if err := z.Close(); err != nil {
		panic("demoviewer: zip in memory: " + err.Error())
	}
	return buf.Bytes()
}

// countAssets counts as the Viewer does: the config as one, the code snapshot as one, each entry of the lists.
func countAssets(raw json.RawMessage) int {
	var assets struct {
		Code struct {
			Snapshot map[string]any `json:"snapshot"`
		} `json:"code"`
		Config                        map[string]any `json:"config"`
		Datasets, Pretrained, Outputs []any
	}
	if err := json.Unmarshal(raw, &assets); err != nil {
		return 0
	}
	n := len(assets.Datasets) + len(assets.Pretrained) + len(assets.Outputs)
	if assets.Code.Snapshot != nil {
		n++
	}
	if len(assets.Config) > 0 {
		n++
	}
	return n
}
