package search

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
)

// packer is a demo Viewer that also packs the files of a folder of runs, as 0.6 does, and
// takes long to scan all run folders.
type packer struct {
	*demotest.Viewer
	files      map[string]map[string]string // by run id
	paths      map[string]string            // of runs
	archives   atomic.Int32
	singles    atomic.Int32
	reading    atomic.Int32 // single reads and archives in flight
	concurrent atomic.Int32 // archives that were requested during another read
	skew       atomic.Int64
	damage     atomic.Pointer[func(zip []byte) []byte]
}

func (p *packer) add(path, id string, files map[string]string) {
	spec := demotest.Run{ID: id, Path: path, Status: "finished", Created: time.Unix(1_700_000_000, 0), Events: []byte(files["events.jsonl"])}
	if text, ok := files["summary.json"]; ok {
		spec.Summary = []byte(text)
	}
	if text, ok := files["assets.json"]; ok {
		spec.Files = map[string][]byte{"assets.json": []byte(text)}
	}
	p.AddRun(spec)
	p.files[id], p.paths[id] = files, path
}

// ServeHTTP adds the archive route to those of the demo.
func (p *packer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/openapi.json":
		rec := httptest.NewRecorder()
		p.Viewer.ServeHTTP(rec, r)
		var doc map[string]any
		if json.Unmarshal(rec.Body.Bytes(), &doc) == nil {
			doc["paths"].(map[string]any)["/api/paths/export"] = map[string]any{"get": map[string]any{}} //nolint:forcetypeassert // a test
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(doc)
	case strings.HasSuffix(r.URL.Path, "/assets/download") && p.below(r.URL.Query().Get("path")) != "":
		p.archives.Add(1)
		if p.reading.Add(1) > 1 {
			p.concurrent.Add(1)
		}
		defer p.reading.Add(-1)
		out := p.pack(p.below(r.URL.Query().Get("path")))
		if f := p.damage.Load(); f != nil {
			out = (*f)(out)
		}
		w.Header().Set("Content-Type", "application/zip")
		_, _ = w.Write(out)
	case strings.HasSuffix(r.URL.Path, "/assets/download"):
		p.singles.Add(1)
		p.reading.Add(1)
		defer p.reading.Add(-1)
		p.skew.Add(int64(20 * time.Millisecond)) // of the clock: single reads are slow, so archives are preferred
		p.Viewer.ServeHTTP(w, r)
	default:
		p.Viewer.ServeHTTP(w, r)
	}
}

// below is the path of the runs in a folder; empty if there are none.
func (p *packer) below(folder string) string {
	_, path, _ := strings.Cut(folder, "/runs/")
	for _, at := range p.paths {
		if path != "" && isBelow(at, path) {
			return path
		}
	}
	return ""
}

func isBelow(at, path string) bool { return at == path || strings.HasPrefix(at, path+"/") }

func (p *packer) pack(path string) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	write := func(name, content string) {
		var packed bytes.Buffer
		f, _ := flate.NewWriter(&packed, 6)
		_, _ = f.Write([]byte(content))
		_ = f.Close()
		e, err := w.CreateRaw(&zip.FileHeader{
			Name: name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(content)),
			CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(len(content)),
		})
		if err == nil {
			_, _ = e.Write(packed.Bytes())
		}
	}
	write("readme.txt", "of no run")
	for id, at := range p.paths {
		if !isBelow(at, path) {
			continue
		}
		dir := strings.TrimPrefix(strings.TrimPrefix(at, path)+"/"+id, "/")
		for name, content := range p.files[id] {
			write(dir+"/"+name, content)
		}
		write(dir+"/media/events.jsonl", "not the run's")
	}
	_ = w.Close()
	return out.Bytes()
}

// newPacked starts an index of a Viewer with 60 runs of three paths.
func newPacked(t *testing.T) (*packer, *lab) {
	t.Helper()
	viewer, err := demotest.New(demotest.Config{Generation: demotest.Gen06, Empty: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &packer{Viewer: viewer, files: map[string]map[string]string{}, paths: map[string]string{}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	all, err := fleet.New([]fleet.Entry{{Name: "v", URL: server.URL}}, restclient.Config{Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.Close)
	cache := runcache.New(runcache.Config{})
	t.Cleanup(cache.Close)
	l := &lab{Viewer: viewer, fleet: all.Configured()[0], config: Config{Cache: cache}}
	l.clock = func() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) }
	l.restart(t)
	for i := range 60 {
		files := map[string]string{
			"events.jsonl": string(events(i+1, i+20)), "status.json": `{"status": "finished", "started_at": 1700000000.5, "ended_at": 1700000060.5}`,
			"summary.json": fmt.Sprintf(`{"acc": %d.5, "nan": NaN}`, i), "assets.json": fmt.Sprintf(`{"config": {"args": {"lr": %d}}}`, i),
		}
		switch i {
		case 7: // steps are not in order, so the run is read again, alone
			files["events.jsonl"] += string(events(3, 9))
		case 8:
			delete(files, "summary.json")
		case 9: // the last line has no newline, and is complete because the run has ended
			files["events.jsonl"] = strings.TrimSuffix(files["events.jsonl"], "\n")
		}
		p.add(fmt.Sprintf("group/%d", i%3), fmt.Sprintf("20260301_120000_%06d", i), files)
	}
	return p, l
}

func checkPacked(t *testing.T, l *lab) {
	t.Helper()
	runs := l.runs(t)
	res, err := l.index.Lookup(t.Context(), runs, PartMetrics|PartTimes|PartSummary|PartConfig, Wait)
	if err != nil {
		t.Fatal(err)
	}
	for at, r := range res.Records {
		var i int
		if _, err := fmt.Sscanf(runs[at].Listed.ID, "20260301_120000_%d", &i); err != nil || res.Errs[at] != nil {
			t.Fatalf("run %d: %v, %v", at, err, res.Errs[at])
		}
		wantSteps := int64(19)
		if i == 7 {
			wantSteps = 24
		}
		if m := lossOf(t, r); m.Count != wantSteps || m.Last.Step != int64(i+19) {
			t.Errorf("run %d: %+v", i, m)
		}
		lr, ok := r.Config("lr").Int()
		if !ok || lr != int64(i) || r.Summary("acc").Known() != (i != 8) || !r.Summary("acc").Known() && i != 8 {
			t.Errorf("run %d: lr %v, summary %v", i, lr, r.Summary("acc"))
		}
		if d, ok := r.Duration(time.Now()); i != 8 && (!ok || d < 0) { // single reads get another status file, made by the demo
			t.Errorf("run %d: duration %v, %t", i, d, ok)
		}
	}
}

func TestBulk_ReadsTheSameAsSingleReads(t *testing.T) {
	p, l := newPacked(t)
	checkPacked(t, l)
	if p.archives.Load() == 0 || p.singles.Load() > 200 {
		t.Errorf("%d archives, %d single reads", p.archives.Load(), p.singles.Load())
	}
	if n := p.concurrent.Load(); n > 0 {
		t.Errorf("%d archives were requested during other reads", n)
	}
}

// A page of full experiments uses the cached small files.
func TestBulk_CachesSmallFiles(t *testing.T) {
	p, l := newPacked(t)
	runs := l.runs(t)
	again := func() {
		before := p.archives.Load() + p.singles.Load()
		if _, err := l.index.Lookup(t.Context(), runs, PartTimes, Again); err != nil {
			t.Fatal(err)
		}
		if p.archives.Load()+p.singles.Load() == before {
			t.Error("nothing was read")
		}
	}
	again()
	known := 0
	for _, run := range runs {
		files := run.Viewer.Client.KnownFiles(run.Listed.ID)
		if files == nil {
			continue // it was read alone
		}
		known++
		if files.Status.Value.Status.Value != "finished" || files.Meta.State != restclient.FileAbsent ||
			(files.Summary.State == restclient.FileAbsent) != (p.files[run.Listed.ID]["summary.json"] == "") {
			t.Errorf("%s: %+v", run.Listed.ID, files)
		}
	}
	if known == 0 {
		t.Error("no files are known")
	}
	again() // although everything is known
}

func TestBulk_ReadsOneByOneIfTheArchiveIsDamaged(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"truncated": func(b []byte) []byte { return b[:len(b)/3] },
		"changed":   func(b []byte) []byte { b[len(b)/3] ^= 1; return b },
		"not a zip": func([]byte) []byte { return []byte("<html>") },
		"empty":     func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			p, l := newPacked(t)
			p.damage.Store(&damage)
			checkPacked(t, l)
			if p.archives.Load() == 0 {
				t.Error("no archive was requested")
			}
		})
	}
}
