package restclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	detailRoute   = "GET /api/runs/x"
	downloadRoute = "GET /api/runs/x/assets/download"
	detailBody    = `{"id":"x","run_dir":"/s/runs/x","metrics":"/s/runs/x/events.jsonl","logs":"/s/runs/x/logs.txt"}`
)

// serveFile serves content as Starlette does: with ranges, as an attachment.
func serveFile(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="events.jsonl"`)
		w.Header().Set("ETag", `"e1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

func TestReadFile_ReportsTheState(t *testing.T) {
	content := plainFixture(t, "0.6.0", "events_jsonl_raw_nan")
	size := int64(len(content))
	notFound := func(detail string) http.HandlerFunc {
		return answer(404, "application/json", []byte(`{"detail":"`+detail+`"}`))
	}
	for _, tt := range []struct {
		name           string
		answer         http.HandlerFunc
		offset, length int64
		want           FilePart
		body           []byte
	}{
		{"the whole file by range", serveFile(content), 0, 0, FilePart{State: FileRanged, Size: size, ETag: `"e1"`}, content},
		{"the rest", serveFile(content), 100, 0, FilePart{State: FileRanged, Offset: 100, Size: size, ETag: `"e1"`}, content[100:]},
		{"a piece", serveFile(content), 100, 10, FilePart{State: FileRanged, Offset: 100, Size: size, ETag: `"e1"`}, content[100:110]},
		{"a piece over the end", serveFile(content), size - 5, 100, FilePart{State: FileRanged, Offset: size - 5, Size: size, ETag: `"e1"`}, content[size-5:]},
		{"nothing new", serveFile(content), size, 0, FilePart{State: FileUnchanged, Offset: size, Size: size}, nil},
		{"an empty file", serveFile(nil), 0, 0, FilePart{State: FileWhole, ETag: `"e1"`}, nil},
		{"a file that shrank", serveFile(content), size + 1, 0, FilePart{State: FileShrunk, Offset: size + 1, Size: size}, nil},
		{"a server without ranges", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(content)
		}, 100, 0, FilePart{State: FileWhole, Size: size}, content},
		{"no file so far", notFound("File not found"), 0, 0, FilePart{State: FileAbsent, Size: -1}, nil},
		{"no such run", notFound("Run not found"), 0, 0, FilePart{State: RunGone, Size: -1}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on(detailRoute, jsonAnswer(detailBody))
			v.on(downloadRoute, tt.answer)
			part, err := v.client(t).ReadFile(t.Context(), "x", FileEvents, tt.offset, tt.length)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(part)
			if err != nil || !bytes.Equal(body, tt.body) {
				t.Errorf("body %q, %v", body, err)
			}
			if err := part.Close(); err != nil {
				t.Error(err)
			}
			if part.State == FileUnchanged || part.State == FileShrunk {
				part.ETag = ""
			}
			got := FilePart{State: part.State, Offset: part.Offset, Size: part.Size, ETag: part.ETag}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if query, _ := url.ParseQuery(v.requests()[1].Query); query.Get("path") != "/s/runs/x/events.jsonl" {
				t.Errorf("asked for %q", query)
			}
		})
	}
}

func TestReadFile_RefusesAnotherRange(t *testing.T) {
	for _, tt := range []struct {
		name, contentRange string
		status             int
	}{
		{"another beginning", "bytes 5-9/10", 206},
		{"an end before the beginning", "bytes 3-2/10", 206},
		{"an end after the file", "bytes 3-12/10", 206},
		{"no size", "bytes 3-9/*", 206},
		{"nothing", "", 206},
		{"416 without a size", "", 416},
		{"416 although the file continues", "bytes */100", 416},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on(detailRoute, jsonAnswer(detailBody))
			v.on(downloadRoute, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Range", tt.contentRange)
				answer(tt.status, "application/octet-stream", []byte("1234567"))(w, r)
			})
			_, err := v.client(t).EventFile(t.Context(), "x", 3)
			wantKind(t, err, KindMalformed)
		})
	}
}

func TestReadFile_TruncatedStreamReportsBytesDelivered(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on(detailRoute, jsonAnswer(detailBody))
	v.on(downloadRoute, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-999/1000")
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(206)
		_, _ = w.Write(make([]byte, 600))
	})
	part, err := v.client(t).EventFile(t.Context(), "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, part)
	if e := typed(t, err, KindCutOff); n != 600 || e.BytesDelivered != 600 {
		t.Errorf("%d bytes came, %d were reported", n, e.BytesDelivered)
	}
	if err := part.Close(); err != nil {
		t.Error(err)
	}
}

func TestReadFile_CachesTheRunDir(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on(detailRoute, jsonAnswer(detailBody))
	v.on(downloadRoute, serveFile([]byte("abc\n")))
	c := v.client(t)
	for range 5 {
		part, err := c.EventFile(t.Context(), "x", 4)
		if err != nil || part.State != FileUnchanged {
			t.Fatal(part, err)
		}
	}
	if got := len(v.requests()); got != 6 {
		t.Errorf("%d calls for five reads", got)
	}
}

func TestReadFile_FollowsAMovedRun(t *testing.T) {
	v := newViewer(t, "0.7.2")
	var where atomic.Value
	where.Store("/s/old")
	v.on(detailRoute, func(w http.ResponseWriter, r *http.Request) {
		dir := fmt.Sprint(where.Load())
		jsonAnswer(`{"id":"x","run_dir":"`+dir+`","metrics":"`+dir+`/events.jsonl"}`)(w, r)
	})
	v.on(downloadRoute, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("path") != fmt.Sprint(where.Load())+"/events.jsonl" {
			answer(403, "application/json", []byte(`{"detail":"Path does not belong to this run"}`))(w, r)
			return
		}
		serveFile([]byte("abc\n"))(w, r)
	})
	c := v.client(t)
	for _, dir := range []string{"/s/old", "/s/new"} {
		where.Store(dir)
		part, err := c.EventFile(t.Context(), "x", 0)
		if err != nil || part.State != FileRanged {
			t.Fatalf("%s: %+v, %v", dir, part, err)
		}
		if err := part.Close(); err != nil {
			t.Error(err)
		}
	}
	v.on(downloadRoute, answer(403, "application/json", []byte(`{"detail":"Unsafe path"}`)))
	_, err := c.EventFile(t.Context(), "x", 0)
	wantKind(t, err, KindForbidden)
}

func TestReadFile_MissingRunIsGone(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on(detailRoute, answer(404, "application/json", fixture(t, "0.6.0", "run_404")))
	part, err := v.client(t).EventFile(t.Context(), "x", 0)
	if err != nil || part.State != RunGone {
		t.Errorf("%+v, %v", part, err)
	}
	v.on(detailRoute, jsonAnswer(`{"id":"x"}`))
	_, err = v.client(t).EventFile(t.Context(), "x", 0)
	if e := typed(t, err, KindMalformed); !errors.Is(e, errNoDir) {
		t.Errorf("without a folder: %v", err)
	}
	if _, err = v.client(t).EventFile(t.Context(), "x", -1); err == nil {
		t.Error("a negative offset was accepted")
	}
}

func TestRunDir_UsesTheViewersNotation(t *testing.T) {
	unix, windows := runDir{dir: "/s/x"}, runDir{dir: `C:\s\x`}
	if got := unix.path(FileStatus); got != "/s/x/status.json" {
		t.Errorf("unix: %s", got)
	}
	if got := windows.path(FileStatus); got != `C:\s\x\status.json` {
		t.Errorf("windows: %s", got)
	}
}

func TestDocuments_KeepNonFiniteNumbers(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on(detailRoute, jsonAnswer(detailBody))
	files := map[string]string{
		"/s/runs/x/summary.json": `{"bad": NaN, "inf": Infinity, "neg": -Infinity, "text": "NaN, \"Infinity\"", "n": 9007199254740993,` +
			` "huge": 123456789012345678901234567890, "f": 0.5, "t": true, "z": null, "deep": {"a": [NaN, 1]}, "ünï": "実験"}`,
		"/s/runs/x/status.json": `{"status": "finished", "started_at": 1795446665.78, "ended_at": "1795446666", "exit_reason": null}`,
		"/s/runs/x/meta.json":   `{"python": "3.11`,
	}
	v.on(downloadRoute, func(w http.ResponseWriter, r *http.Request) {
		if text, ok := files[r.URL.Query().Get("path")]; ok {
			serveFile([]byte(text))(w, r)
			return
		}
		answer(404, "application/json", []byte(`{"detail":"File not found"}`))(w, r)
	})
	c := v.client(t)
	summary, err := c.SummaryFile(t.Context(), "x")
	if err != nil || summary.State != FileWhole {
		t.Fatalf("%+v, %v", summary, err)
	}
	want := Values{
		"bad":  {Kind: ValueNumber, Number: math.NaN()},
		"inf":  {Kind: ValueNumber, Number: math.Inf(1)},
		"neg":  {Kind: ValueNumber, Number: math.Inf(-1)},
		"text": {Kind: ValueText, Text: `NaN, "Infinity"`},
		"n":    {Kind: ValueInteger, Integer: 9007199254740993},
		"huge": {Kind: ValueDecimal, Text: "123456789012345678901234567890", Number: 123456789012345678901234567890},
		"f":    {Kind: ValueNumber, Number: 0.5},
		"t":    {Kind: ValueBool, Bool: true},
		"z":    {},
		"deep": {Kind: ValueJSON, Text: `{"a": ["NaN", 1]}`},
		"ünï":  {Kind: ValueText, Text: "実験"},
	}
	if diff := cmp.Diff(want, summary.Value, cmp.Comparer(sameFloat)); diff != "" {
		t.Error(diff)
	}
	status, err := c.StatusFile(t.Context(), "x")
	if err != nil || status.Value.Status.Value != "finished" || status.Value.EndTime.Unix() != 1795446666 || status.Value.ExitReason.Known {
		t.Errorf("%+v, %v", status, err)
	}
	_, err = c.MetaFile(t.Context(), "x")
	wantKind(t, err, KindMalformed) // it is being written
	delete(files, "/s/runs/x/meta.json")
	if meta, err := c.MetaFile(t.Context(), "x"); err != nil || meta.State != FileAbsent {
		t.Errorf("%+v, %v", meta, err)
	}
	files["/s/runs/x/meta.json"] = ""
	if meta, err := c.MetaFile(t.Context(), "x"); err != nil || meta.State != FileAbsent {
		t.Errorf("an empty file: %+v, %v", meta, err)
	}
}

func sameFloat(a, b float64) bool { return a == b || (math.IsNaN(a) && math.IsNaN(b)) }
