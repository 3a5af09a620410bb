package e2e

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestExportExperiment_ZipIsTheRunsOwnFiles compares the files of a zip with those on the
// Viewer's disk; 0.5 serves no files, and the export reports it.
func TestExportExperiment_ZipIsTheRunsOwnFiles(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		run := seeded.Manifest.Runs[realviewer.KeyImages]
		file, err := export(t, s, &runicornapiv1.ExportExperimentRequest{
			Viewer: viewer, RunId: run.RunID, Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP, IncludeMedia: true,
		})
		if !seeded.Version().HasPaths() {
			if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "0.6") {
				t.Errorf("got %v, want UNIMPLEMENTED that names 0.6", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		files, err := zip.NewReader(bytes.NewReader(file.content), int64(len(file.content)))
		if err != nil {
			t.Fatal(err)
		}
		images := 0
		for _, f := range files.File {
			body, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err = errors.Join(err, body.Close()); err != nil {
				t.Fatal(err)
			}
			name, inRun := strings.CutPrefix(f.Name, run.RunID+"/")
			want, err := os.ReadFile(filepath.Join(run.Dir, filepath.FromSlash(name)))
			if err != nil || !inRun || !bytes.Equal(want, got) {
				t.Errorf("%s: %d bytes, on disk %d, %v", f.Name, len(got), len(want), err)
			}
			if strings.HasPrefix(name, "media/") {
				images++
			}
		}
		if images != 3 || len(file.trailer.GetMissingFiles()) != 0 {
			t.Errorf("%d images, missing %v; want 3 and none", images, file.trailer.GetMissingFiles())
		}
	})
}

// TestExportExperiment_OfAllGenerationsAtOnce puts a run of each Viewer into
// one file of every format that can be had everywhere.
func TestExportExperiment_OfAllGenerationsAtOnce(t *testing.T) {
	s := sharedServer(t)
	req := &runicornapiv1.ExportExperimentRequest{IncludeMedia: true}
	for _, version := range realviewer.Versions() {
		run := lab.Viewer(t, version).Manifest.Runs[realviewer.KeyImages]
		req.RunIds = append(req.RunIds, "viewers/"+viewerName(version)+"/experiments/"+run.RunID)
	}
	for name, format := range runicornapiv1.ExportFormat_value {
		req.Format = runicornapiv1.ExportFormat(format)
		file, err := export(t, s, req)
		if req.GetFormat() == runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP {
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: got %v, want UNIMPLEMENTED", name, err)
			}
			continue
		}
		if err != nil || !strings.HasPrefix(file.header.GetFileName(), "runicorn-3-experiments.") || len(file.content) == 0 {
			t.Errorf("%s: %v, %v", name, file.header, err)
		}
		if dir := os.Getenv("RUNICORN_EXPORTS"); dir != "" { // for inspection
			if err := os.WriteFile(filepath.Join(dir, file.header.GetFileName()), file.content, 0o644); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestExportExperiment_ZipNamesWhatItsViewerDoesNotServe exports a run below a
// folder of a name by which the Viewers take every .json for a list of other
// files, and would pack those.
func TestExportExperiment_ZipNamesWhatItsViewerDoesNotServe(t *testing.T) {
	for _, version := range withAssets() {
		install, storage := realviewer.Require(t, version), t.TempDir()
		run, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{Project: "manifests", Name: "x", Lines: realviewer.Curve(time.Now(), 3, "loss")})
		if err != nil {
			t.Fatal(err)
		}
		s := mustStart(t, "--viewer="+realviewer.MustStart(t, install, realviewer.Options{Storage: storage}).URL())
		file, err := export(t, s, &runicornapiv1.ExportExperimentRequest{RunId: run.RunID, Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP})
		if err != nil {
			t.Fatal(err)
		}
		files := unzip(t, file.content)
		if said := files["MISSING_FILES.txt"]; len(files) != 2 || files[run.RunID+"/events.jsonl"] == "" || !strings.Contains(said, run.RunID+"/status.json") {
			t.Errorf("%s: the zip holds %q", version, files)
		}
		if missing := strings.Join(file.trailer.GetMissingFiles(), " "); !strings.Contains(missing, run.RunID+"/status.json") || !strings.Contains(missing, run.RunID+"/meta.json") {
			t.Errorf("%s: missing %q", version, missing)
		}
	}
}
