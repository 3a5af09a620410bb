package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// tabular are the formats that are read back, and the forms of their data.
var tabular = []struct {
	name   string
	format runicornapiv1.ExportFormat
	layout runicornapiv1.ExportLayout
}{
	{"csv.wide", runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, runicornapiv1.ExportLayout_EXPORT_LAYOUT_WIDE},
	{"csv.long", runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG},
	{"arrow.wide", runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW, runicornapiv1.ExportLayout_EXPORT_LAYOUT_WIDE},
	{"arrow.long", runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW, runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG},
	{"arrow_file.wide", runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW_FILE, runicornapiv1.ExportLayout_EXPORT_LAYOUT_WIDE},
	{"arrow_file.long", runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW_FILE, runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG},
	{"parquet.wide", runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET, runicornapiv1.ExportLayout_EXPORT_LAYOUT_WIDE},
	{"parquet.long", runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET, runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG},
	{"json.wide", runicornapiv1.ExportFormat_EXPORT_FORMAT_JSON, runicornapiv1.ExportLayout_EXPORT_LAYOUT_UNSPECIFIED},
	{"jsonl.long", runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL, runicornapiv1.ExportLayout_EXPORT_LAYOUT_UNSPECIFIED},
}

// logged is a value as a file has it.
type logged struct {
	Step int64
	Time float64 // 0 where the file has none
	Cell cell
}

// TestExportExperiment_AgreesWithTheEventFile exports every seeded run in
// every format, reads the files with csv, pandas, pyarrow and json, and
// compares value by value with the event file on the Viewer's disk.
func TestExportExperiment_AgreesWithTheEventFile(t *testing.T) {
	t.Parallel()
	python := exportsPython(t)
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		dir, logs := t.TempDir(), map[string]*realviewer.Log{}
		var files []string
		for key, run := range seeded.Manifest.Runs {
			if running[key] {
				continue
			}
			log := logOf(t, run)
			for _, form := range tabular {
				file, err := export(t, s, &runicornapiv1.ExportExperimentRequest{
					Viewer: viewer, RunId: run.RunID, Format: form.format, Layout: form.layout,
				})
				if err != nil {
					t.Fatalf("%s as %s: %v", key, form.name, err)
				}
				path := filepath.Join(dir, key+"."+form.name)
				if err := os.WriteFile(path, file.content, 0o644); err != nil {
					t.Fatal(err)
				}
				files, logs[path] = append(files, path), log
			}
		}
		for path, points := range readExports(t, python, files) {
			t.Run(filepath.Base(path), func(t *testing.T) {
				isLong, hasEvents := strings.HasSuffix(path, "long"), seeded.Version().HasPaths()
				want := loggedBy(logs[path], isLong, hasEvents)
				if strings.HasSuffix(path, "csv.wide") {
					dropEmptyTexts(want)
				}
				if points := want["step"]; !isLong && !strings.Contains(path, ".json") && points != nil {
					want["step#"] = points // the column of steps has the name
					delete(want, "step")
				}
				got := readPoints(t, points, want, isLong && hasEvents)
				if !isLong { // series of one name and several kinds come one after the other
					for _, points := range got {
						slices.SortStableFunc(points, func(a, b logged) int { return cmp.Compare(a.Step, b.Step) })
					}
				}
				if !maps.EqualFunc(want, got, equalPoints) {
					diff := gocmp.Diff(want, got, cmpopts.EquateNaNs())
					t.Errorf("the event file and the export (-file +export):\n%.3000s", diff)
				}
			})
		}
	})
}

// equalPoints compares points of one metric.
func equalPoints(a, b []logged) bool {
	return slices.EqualFunc(a, b, func(x, y logged) bool {
		return x.Step == y.Step && (x.Time == y.Time || math.IsNaN(x.Time) && math.IsNaN(y.Time)) && x.Cell.isSame(y.Cell)
	})
}

// logOf reads the event file of a run.
func logOf(t *testing.T, run realviewer.Run) *realviewer.Log {
	t.Helper()
	log, err := realviewer.ReadLog(run.EventFile)
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != "running" {
		log = log.Ended()
	}
	return log
}

// loggedBy is the expected content of the file by metric: every point in the order of
// logging, or the merged view. For a Viewer that has only a merged table it is that,
// without values that are not finite.
func loggedBy(log *realviewer.Log, isLong, hasEvents bool) map[string][]logged {
	want := map[string][]logged{}
	add := func(name string, step int64, time float64, value realviewer.Value) {
		c, ok := cellOf(value)
		if !ok || !hasEvents && !realviewer.InTable(name) || !hasEvents && c.Kind == "number" && (math.IsNaN(c.Value) || math.IsInf(c.Value, 0)) {
			return
		}
		if !isLong || !hasEvents || math.IsNaN(time) {
			time = 0
		}
		want[name] = append(want[name], logged{Step: step, Time: time, Cell: c})
	}
	if isLong && hasEvents {
		for _, line := range log.Lines {
			for name, value := range line.Cells {
				add(name, line.Step, line.Time, value)
			}
		}
		return want
	}
	for _, row := range log.Merged() {
		for name, c := range row.Cells {
			add(name, row.Step, 0, c.Value)
		}
	}
	return want
}

// dropEmptyTexts removes what csv readers cannot distinguish from an absent value.
func dropEmptyTexts(want map[string][]logged) {
	for name, points := range want {
		want[name] = slices.DeleteFunc(points, func(p logged) bool { return p.Cell == cell{Kind: "text"} })
		if len(want[name]) == 0 {
			delete(want, name)
		}
	}
}

// readPoints sorts what Python has read by metric. A value of CSV is a text,
// and is taken for what should be there.
func readPoints(t *testing.T, points [][]any, want map[string][]logged, hasTimes bool) map[string][]logged {
	t.Helper()
	got := map[string][]logged{}
	for _, p := range points {
		name, kind, text := p[0].(string), p[3].(string), p[4].(string)
		step, err := p[1].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		point := logged{Step: step, Cell: cell{Kind: kind}}
		if at, ok := p[2].(json.Number); ok && hasTimes {
			if point.Time, err = at.Float64(); err != nil {
				t.Fatal(err)
			}
		}
		if i := len(got[name]); kind == "raw" && i < len(want[name]) {
			point.Cell.Kind = want[name][i].Cell.Kind
		}
		switch {
		case point.Cell.Kind == "text":
			point.Cell.Text = text
		case kind == "raw" && point.Cell.Kind == "boolean":
			point.Cell = boolean(text == "true")
		case kind == "raw":
			if strings.HasSuffix(text, "inf") { // as CSV has it
				text = strings.Replace(text, "inf", "Infinity", 1)
			}
			point.Cell = number(text)
		default:
			point.Cell.Text = p[5].(string)
			point.Cell.Value, _ = strconv.ParseFloat(text, 64) // Python's repr
		}
		got[name] = append(got[name], point)
	}
	return got
}

// exportsPython is the interpreter of a virtual environment with pandas and
// pyarrow, kept between runs.
func exportsPython(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	system := realviewer.Require(t, realviewer.V072).Python
	venv := filepath.Join(cache, "runicorn-grpc", "venvs", "exports")
	python := filepath.Join(venv, "bin", "python")
	if exec.CommandContext(t.Context(), python, "-c", "import pandas, pyarrow, polars, duckdb").Run() == nil {
		return python
	}
	for _, args := range [][]string{
		{system, "-m", "venv", venv},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pandas", "pyarrow", "polars", "duckdb"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return python
}

// readExports reads files in Python.
func readExports(t *testing.T, python string, files []string) map[string][][]any {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, append([]string{filepath.Join("testdata", "read_exports.py")}, files...)...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("read the exports: %v\n%s", err, complaints.String())
	}
	var points map[string][][]any
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.UseNumber()
	if err := decoder.Decode(&points); err != nil {
		t.Fatal(err)
	}
	return points
}
