package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestExportExperiment_OverHTTP downloads a run of a name that no shell would
// like, as the users do: by the short names of the formats.
func TestExportExperiment_OverHTTP(t *testing.T) {
	install, storage := realviewer.Require(t, realviewer.V072), t.TempDir()
	run, err := realviewer.WriteRun(storage, realviewer.V072, realviewer.RunSpec{
		Project: "-rf", Name: `a "b"; $(c) ü…`, Lines: realviewer.Curve(time.Now(), 100, "loss", "acc"),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, "--viewer="+realviewer.MustStart(t, install, realviewer.Options{Storage: storage}).URL())
	for name, want := range map[string]struct {
		format                 runicornapiv1.ExportFormat
		contentType, extension string
	}{
		"csv":        {runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, "text/csv; charset=utf-8", "csv"},
		"jsonl":      {runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL, "application/x-ndjson", "jsonl"},
		"arrow":      {runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW, "application/vnd.apache.arrow.stream", "arrows"},
		"arrow_file": {runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW_FILE, "application/vnd.apache.arrow.file", "arrow"},
		"parquet":    {runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET, "application/vnd.apache.parquet", "parquet"},
		"json":       {runicornapiv1.ExportFormat_EXPORT_FORMAT_JSON, "application/json", "json"},
		"html":       {runicornapiv1.ExportFormat_EXPORT_FORMAT_HTML, "text/html; charset=utf-8", "html"},
	} {
		resp, body := getHTTP(t, "http://"+s.httpAddr+"/v1/experiments/"+run.RunID+":export?format="+name, nil)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != want.contentType || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s %v: %.300s", name, resp.Status, resp.Header, body)
		}
		disposition := resp.Header.Get("Content-Disposition")
		if !strings.HasPrefix(disposition, "attachment; ") || !strings.Contains(disposition, run.RunID+"."+want.extension) || strings.ContainsAny(disposition, "$()") || strings.Contains(disposition, `="-`) {
			t.Errorf("%s: %s", name, disposition)
		}
		file, err := export(t, s, &runicornapiv1.ExportExperimentRequest{RunId: run.RunID, Format: want.format})
		if err != nil || !bytes.Equal(file.content, body) {
			t.Errorf("%s: %d bytes over HTTP, %d over gRPC, %v", name, len(body), len(file.content), err)
		}
	}
	if got := statusOfGet(t, "http://"+s.httpAddr+"/v1/experiments/"+run.RunID+":export?format=xlsx"); got != http.StatusBadRequest {
		t.Errorf("an unknown format: %d", got)
	}
}

// TestExportExperiment_OverHTTPAbortsVisibly kills the Viewer after the first bytes.
func TestExportExperiment_OverHTTPAbortsVisibly(t *testing.T) {
	v, runIDs := longRuns(t, 1, 60_000)
	front := newMortal(t, v.URL())
	s := mustStart(t, "--viewer=http://"+front.addr)
	front.live(t, 6<<20)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.httpAddr+"/v1/experiments/"+runIDs[0]+":export?format=csv&layout=long", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err == nil || resp.StatusCode != http.StatusOK || len(body) == 0 {
		t.Errorf("%s, %d bytes: it ended as a whole file does", resp.Status, len(body))
	}
}

// TestExportExperiment_OverHTTPInParts reads the file of a run that has ended as
// libraries do: HEAD, then ranges in any order. Of a run that grows HEAD promises
// nothing.
func TestExportExperiment_OverHTTPInParts(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		url := "http://" + s.httpAddr + "/v1/viewers/" + viewer + "/experiments/" + seeded.Manifest.Runs[realviewer.KeyNaN].RunID + ":export?format="
		for _, format := range []string{"parquet", "csv", "csv&layout=long", "jsonl", "json"} {
			head := headOf(t, url+format)
			etag, size := head.Header.Get("ETag"), head.ContentLength
			if head.StatusCode != http.StatusOK || etag == "" || size < 10 || head.Header.Get("Accept-Ranges") != "bytes" {
				t.Errorf("%s: HEAD %s, %v", format, head.Status, head.Header)
				continue
			}
			_, whole := getHTTP(t, url+format, nil)
			for rng, want := range map[string][]byte{
				"bytes=-8": whole[len(whole)-8:], "bytes=0-0": whole[:1], "bytes=5-": whole[5:], "bytes=3-7": whole[3:8],
			} {
				resp, part := getHTTP(t, url+format, map[string]string{"Range": rng})
				if resp.StatusCode != http.StatusPartialContent || !bytes.Equal(part, want) || resp.Header.Get("ETag") != etag || int64(len(whole)) != size {
					t.Errorf("%s %s: %s, %q, want %q", format, rng, resp.Status, part, want)
				}
			}
		}
	})
}
