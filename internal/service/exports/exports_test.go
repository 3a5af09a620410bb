package exports

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// received is the received part of an exported file.
type received struct {
	header  *runicornapiv1.FileHeader
	trailer *runicornapiv1.FileTrailer
	content []byte
}

// receiveExport reads an export to its end. A stream that ends OK must have a
// trailer that is right.
func receiveExport(ctx context.Context, t *testing.T, h *servicetest.Harness, req *runicornapiv1.ExportExperimentRequest) (*received, error) {
	t.Helper()
	stream, err := h.Experiments.ExportExperiment(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	out := &received{}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			sum := sha256.Sum256(out.content)
			if out.trailer.GetSha256() != hex.EncodeToString(sum[:]) || out.trailer.GetSizeBytes() != int64(len(out.content)) {
				t.Errorf("OK with %d bytes and trailer %v", len(out.content), out.trailer)
			}
			return out, nil
		}
		if err != nil {
			return out, err
		}
		switch part := message.GetPart().(type) {
		case *runicornapiv1.ExportExperimentResponse_Header:
			out.header = part.Header
		case *runicornapiv1.ExportExperimentResponse_Chunk:
			out.content = append(out.content, part.Chunk...)
		case *runicornapiv1.ExportExperimentResponse_Trailer:
			out.trailer = part.Trailer
		}
	}
}

// formats are all formats but the zip, which 0.5 cannot give.
func formats() []runicornapiv1.ExportFormat {
	var out []runicornapiv1.ExportFormat
	for format := range runicornapiv1.ExportFormat_name {
		if f := runicornapiv1.ExportFormat(format); f != runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP {
			out = append(out, f)
		}
	}
	return out
}

func TestExportExperiment_SelectsMetrics(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(
		`{"ts": 1, "type": "metrics", "data": {"a": 1, "b/x": 2, "b/y": 3, "global_step": 1}}` + "\n")})
	for _, test := range []struct {
		name            string
		names, prefixes []string
		want            string
	}{
		{"all without a selection", nil, nil, "step,a,b/x,b/y\n1,1,2,3\n"},
		{"by name", []string{"a", "b/"}, nil, "step,a\n1,1\n"},
		{"by prefix", nil, []string{"b/"}, "step,b/x,b/y\n1,2,3\n"},
		{"either is enough", []string{"a"}, []string{"b/y"}, "step,a,b/y\n1,1,3\n"},
		{"nothing", []string{"c"}, nil, "step\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{
				RunId: id, RunIds: []string{"viewers/v072/experiments/" + id}, // the same one: once is enough
				Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, MetricNames: test.names, MetricPrefixes: test.prefixes,
			})
			if err != nil || string(file.content) != test.want {
				t.Errorf("%v, %q, want %q", err, file.content, test.want)
			}
			if want := "p-n-" + id + ".csv"; file.header.GetFileName() != want || file.header.GetSizeBytes() != int64(len(test.want)) {
				t.Errorf("header %v, want %s", file.header, want)
			}
		})
	}
}

func TestExportExperiment_RefusesBeforeTheFileBegins(t *testing.T) {
	h := newHarness(t)
	for _, format := range formats() {
		for name, test := range map[string]struct {
			runID  string
			code   codes.Code
			reason string
		}{
			"an unknown run":    {"20200101_000000_abcdef", codes.NotFound, "RUN_NOT_FOUND"},
			"a path":            {"../x", codes.InvalidArgument, "INVALID_REQUEST"},
			"an unknown viewer": {"viewers/nobody/experiments/x", codes.NotFound, "VIEWER_NOT_FOUND"},
		} {
			file, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{RunId: test.runID, Format: format})
			if apierrtest.WantError(t, err, test.code, test.reason); file.header != nil {
				t.Errorf("%v of %s begins a file", format, name)
			}
		}
	}
}

func TestExportExperiment_ZipNeedsFiles(t *testing.T) {
	h := newHarness(t, demotest.Gen05)
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n"})
	_, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{RunId: id, Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP})
	if info := apierrtest.WantError(t, err, codes.Unimplemented, "VIEWER_LACKS_CAPABILITY"); !strings.Contains(info.GetMetadata()["instead"], "0.6") {
		t.Errorf("metadata %v does not say what to do", info.GetMetadata())
	}
}

// TestExportExperiment_ATruncatedExportIsAnError truncates the event file's stream at
// several offsets; no export may end OK.
func TestExportExperiment_ATruncatedExportIsAnError(t *testing.T) {
	h := newHarness(t, demotest.Gen06)
	line := `{"ts": 1, "type": "metrics", "data": {"a": 1, "global_step": 1}}` + "\n"
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(strings.Repeat(line, 1000))})
	for _, cut := range []int{0, 1, len(line), 30_000, 1000*len(line) - 1} {
		h.Upstreams[0].Replace(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.RawQuery, "events.jsonl") {
				return false
			}
			w.Header().Set("Content-Length", "65000")
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte(strings.Repeat(line, 1000))[:cut])
			return true
		})
		for _, format := range formats() {
			for _, layout := range []runicornapiv1.ExportLayout{runicornapiv1.ExportLayout_EXPORT_LAYOUT_WIDE, runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG} {
				file, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{RunId: id, Format: format, Layout: layout})
				if err == nil || file.trailer != nil {
					t.Errorf("%v %v cut at %d: %v, trailer %v", format, layout, cut, err, file.trailer)
				}
			}
		}
	}
}

// TestExportExperiment_OfAViewerThatIgnoresRanges: a proxy in front of it may do so; the
// file is then read as one stream.
func TestExportExperiment_OfAViewerThatIgnoresRanges(t *testing.T) {
	h := newHarness(t, demotest.Gen06)
	u := h.Upstreams[0]
	events := servicetest.CurveLines(20_000, func(step int) float64 { return float64(step) })
	id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(events)})
	var files [2][]byte
	for i := range files {
		file, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{RunId: id, Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL})
		if err != nil {
			t.Fatal(err)
		}
		files[i] = file.content
		u.Replace(func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			return false
		})
	}
	if len(files[0]) == 0 || !bytes.Equal(files[0], files[1]) {
		t.Errorf("%d bytes with ranges, %d without", len(files[0]), len(files[1]))
	}
}

func TestMakeMerged_IsBoundedAndReleases(t *testing.T) {
	s := New(Config{})
	var within func(depth int) error
	within = func(depth int) error {
		return s.makeMerged(func() error {
			if depth < maxMergedExports {
				return within(depth + 1)
			}
			err := s.makeMerged(func() error { return nil })
			if f, ok := errors.AsType[*apierr.Error](err); !ok || f.Code != codes.ResourceExhausted || f.Metadata["limit"] == "" {
				t.Errorf("one too many: %v", err)
			}
			return nil
		})
	}
	for range 2 {
		if err := within(1); err != nil {
			t.Error(err)
		}
	}
}

func TestSpool_ReturnsWhatWasWritten(t *testing.T) {
	for _, size := range []int{0, 1, maxSpooledMemory, maxSpooledMemory + 1, 3 * maxSpooledMemory} {
		want := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
		var s spool
		for range 2 { // the second time after a reset
			if err := s.reset(); err != nil {
				t.Fatal(err)
			}
			for part := range bytes.SplitSeq(want, []byte("e")) {
				if _, err := s.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			got, err := io.ReadAll(s.from(0))
			if err != nil || !bytes.Equal(got, bytes.ReplaceAll(want, []byte("e"), nil)) {
				t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestExportExperiment_LeavesOutWhatIsTooLarge: the rest is in the file, whose
// limitations name what is not.
func TestExportExperiment_LeavesOutWhatIsTooLarge(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	var names []string
	for i := range 600 {
		names = append(names, fmt.Sprintf(`"%d%s": 1`, i, strings.Repeat("n", 10_000)))
	}
	first, last := servicetest.MetricsLine(1, `"loss": 0.5`), servicetest.MetricsLine(2, `"loss": 0.25`)
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Status: "finished", Events: []byte(
		first + servicetest.MetricsLine(3, `"text": "`+strings.Repeat("x", eventlog.MaxLine+1)+`"`) + last +
			servicetest.MetricsLine(4, `"text": "`+strings.Repeat("x", 4<<20)+`"`) + servicetest.MetricsLine(5, strings.Join(names, ", ")))})
	for _, format := range formats() {
		for _, layout := range []runicornapiv1.ExportLayout{runicornapiv1.ExportLayout_EXPORT_LAYOUT_WIDE, runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG} {
			file, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{RunId: id, Format: format, Layout: layout})
			if err != nil {
				t.Fatalf("%v: %v", format, err)
			}
			limits := strings.Join(file.trailer.GetLimitations(), " ")
			for _, want := range []string{
				fmt.Sprintf("%s: 1 lines are longer than 16 MiB and were left out, the first at byte %d", id, len(first)),
				`1 texts are longer than 256 KiB and were cut, the first of the metric "text"`,
				"600 values of metrics with names of more than 1024 bytes were left out",
			} {
				if !strings.Contains(limits, want) {
					t.Errorf("%v: limitations %.300q have no %q", format, limits, want)
				}
			}
			if len(file.content) > 2<<20 || !bytes.Contains(file.content, []byte("loss")) {
				t.Errorf("%v: %d bytes", format, len(file.content))
			}
		}
	}
}

// TestExportExperiment_OfAShortRangeIsCut: a Viewer sends less than the requested range,
// and declares it.
func TestExportExperiment_OfAShortRangeIsCut(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.SampleEvents)})
	h.Upstreams[0].Replace(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.RawQuery, "events.jsonl") || r.Header.Get("Range") == "" {
			return false
		}
		w.Header().Set("Content-Range", "bytes 0-9/1000")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(make([]byte, 10))
		return true
	})
	for _, format := range []runicornapiv1.ExportFormat{runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL, runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP} {
		_, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{RunId: id, Format: format})
		apierrtest.WantError(t, err, codes.DataLoss, "STREAM_CUT")
	}
}

// TestExportExperiment_NamesLostImages removes the files of logged images: the export
// succeeds and names them.
func TestExportExperiment_NamesLostImages(t *testing.T) {
	for _, generation := range []demotest.Generation{demotest.Gen06, demotest.Gen07} {
		h := newHarness(t, generation)
		image := `{"ts": 1, "type": "image", "data": {"key": "k", "path": "media/gone.png", "step": 1}}` + "\n"
		id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Status: "finished", Events: []byte(image + image)})
		for format, want := range map[runicornapiv1.ExportFormat]string{
			runicornapiv1.ExportFormat_EXPORT_FORMAT_JSON: `"data":null`, runicornapiv1.ExportFormat_EXPORT_FORMAT_HTML: "the image's file is lost",
			runicornapiv1.ExportFormat_EXPORT_FORMAT_MARKDOWN: "the image's file is lost", runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP: "media/gone.png",
		} {
			file, err := receiveExport(t.Context(), t, h, &runicornapiv1.ExportExperimentRequest{RunId: id, Format: format, IncludeMedia: true})
			if err != nil {
				t.Fatalf("%v: %v", format, err)
			}
			text := string(file.content)
			if format == runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP {
				text = zipMember(t, file.content, missingFilesName)
			}
			if missing := file.trailer.GetMissingFiles(); len(missing) != 1 || missing[0] != id+"/media/gone.png" || !strings.Contains(text, want) {
				t.Errorf("%s %v: missing %q, %.300q has no %q", generation, format, missing, text, want)
			}
		}
	}
}

// zipMember reads a file of a zip.
func zipMember(t *testing.T, content []byte, name string) string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}
