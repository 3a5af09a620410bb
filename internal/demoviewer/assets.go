package demoviewer

import (
	"archive/zip"
	"bytes"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// runAssets is GET /api/runs/{run_id}/assets.
func runAssets(v *Viewer, c *Call) Answer {
	r := v.Visible(c.Params["run_id"])
	if r == nil {
		return runNotFound()
	}
	return OK(map[string]any{"run_id": r.ID, "assets": r.Assets, "assets_count": r.AssetsCount})
}

// assetRefs is GET /api/runs/{run_id}/assets/refs, which also finds runs in the bin.
func assetRefs(v *Viewer, c *Call) Answer {
	id := c.Params["run_id"]
	if !runIDForm.MatchString(id) {
		return invalidID(id)
	}
	if v.store().runs[id] == nil {
		return runNotFound()
	}
	return v.repeatCapture(c)
}

// downloadAsset is GET /api/runs/{run_id}/assets/download.
func downloadAsset(v *Viewer, c *Call) Answer {
	r := v.Visible(c.Params["run_id"])
	if r == nil {
		return runNotFound()
	}
	target := path.Clean(c.Query.Get("path"))
	if !below(target, v.root) {
		return Detail(http.StatusForbidden, "Unsafe path")
	}
	own := below(target, v.Dir(r)) || isArchive(r, target)
	if v.gen.sqlite && !own {
		return Detail(http.StatusForbidden, "Path does not belong to this run")
	}
	file := v.open(target)
	if file == nil {
		return Detail(http.StatusNotFound, "File not found")
	}
	if name := path.Base(c.Query.Get("filename")); c.Query.Get("filename") != "" {
		file.name = name
	}
	return Answer{file: file}
}

// isArchive reports whether a path is an archive of the run's assets.
func isArchive(r *Record, target string) bool {
	return bytes.Contains(r.Assets, Encode(target))
}

// open finds a file or folder below the storage root.
func (v *Viewer) open(target string) *download {
	now := v.clock()
	for _, id := range v.store().order {
		r := v.store().runs[id]
		dir := v.Dir(r)
		if target == dir {
			return bytesDownload(id+".zip", zipped(r.Files), now)
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
func (r *Record) open(name string, now time.Time) *download {
	changed := time.UnixMicro(int64(max(r.Created, r.Ended) * 1e6))
	switch {
	case name == "events.jsonl":
		return r.openEvents(now)
	case name == "status.json":
		return bytesDownload(name, r.statusFile(now), changed)
	case name == logsName && r.Files[name] != nil:
		return bytesDownload(name, r.log(now), r.logChanged(now, changed))
	case r.Files[name] != nil:
		return bytesDownload(path.Base(name), r.Files[name], changed)
	default:
		return nil
	}
}

// openEvents serves the event file as of now, without later appends.
func (r *Record) openEvents(now time.Time) *download {
	if f, isWritten := r.Events.(*Written); isWritten && f.Raw == nil {
		return nil // nothing was ever logged: the file does not exist
	}
	return &download{"events.jsonl", r.Events.modified(now), io.NewSectionReader(r.Events.reader(), 0, r.Events.Size(now))}
}

// archivedSet is the saved dataset of the sample runs (testdata/sample.py).
func archivedSet() map[string][]byte {
	return map[string][]byte{"a.txt": []byte("a,b\n1,2\n"), "b.txt": []byte("hello\n")}
}

// zipped packs files.
func zipped(files map[string][]byte) []byte {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
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
