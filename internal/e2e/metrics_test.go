package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// cell is one value of the merged view, in the form in which all sources can
// be compared.
type cell struct {
	Kind  string
	Text  string // a text, or the digits of an integer beyond 2^53
	Value float64
}

// isSame reports whether two cells are equal, with NaN equal to NaN. Only differing cells
// are diffed: with the race detector, a diff of a run of 12,000 steps takes seconds.
func (c cell) isSame(other cell) bool {
	return c == other || math.IsNaN(c.Value) && math.IsNaN(other.Value) && c.Kind == other.Kind && c.Text == other.Text
}

// position is the position of a cell.
type position struct {
	Name string
	Step int64
}

// running are the runs that grow during the tests.
var running = map[string]bool{realviewer.KeyLive: true}

// TestGetMetrics_IsTheViewersOwnTable compares every cell of every seeded run with the
// Viewer's metrics_step, which is the oracle for the merge rules. Where the Viewer has
// null, ours may have NaN and ±Inf from the event file, which the next test checks. Ours
// may also have metrics that the Viewer's table never has.
func TestGetMetrics_IsTheViewersOwnTable(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		for key, run := range seeded.Manifest.Runs {
			if running[key] {
				continue
			}
			t.Run(key, func(t *testing.T) {
				ours, _ := getCells(t, s, viewer, run.RunID)
				theirs := tableOf(t, seeded.URL(), run.RunID)
				for at, got := range ours {
					if !realviewer.InTable(at.Name) {
						delete(ours, at)
						continue
					}
					if finite := got.Kind != "number" || (!math.IsNaN(got.Value) && !math.IsInf(got.Value, 0)); !finite {
						if _, shown := theirs[at]; shown {
							t.Errorf("%v: the Viewer shows a value where we have %v", at, got.Value)
						}
						delete(ours, at)
					}
				}
				if !maps.EqualFunc(theirs, ours, cell.isSame) {
					diff := cmp.Diff(theirs, ours)
					t.Errorf("the Viewer's table and ours (-theirs +ours):\n%s", diff)
				}
			})
		}
	})
}

// TestGetMetrics_IsTheEventFile compares the merged view with the event file
// on the Viewer's disk: on 0.6 and 0.7 every cell, with NaN, ±Inf and the time
// of the line that wrote it; on 0.5.3 every finite cell, without times of rows
// that several lines wrote.
func TestGetMetrics_IsTheEventFile(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		for key, run := range seeded.Manifest.Runs {
			if running[key] || key == realviewer.KeyEmpty {
				continue
			}
			t.Run(key, func(t *testing.T) {
				log := logOf(t, run)
				exact := seeded.Version().HasPaths()
				got, resp := getCells(t, s, viewer, run.RunID)
				want := make(map[position]cell)
				for _, row := range log.Merged() {
					for name, c := range row.Cells {
						if !exact && !realviewer.InTable(name) {
							continue
						}
						if w, ok := cellOf(c.Value); ok && (exact || w.Kind != "number" || !(math.IsNaN(w.Value) || math.IsInf(w.Value, 0))) {
							want[position{name, row.Step}] = w
						}
					}
				}
				if !maps.EqualFunc(want, got, cell.isSame) {
					diff := cmp.Diff(want, got, cmpopts.EquateNaNs())
					t.Errorf("the event file and ours (-file +ours):\n%s", diff)
				}
				fidelity := runicornapiv1.Fidelity_FIDELITY_MERGED_TABLE
				if exact {
					fidelity = runicornapiv1.Fidelity_FIDELITY_EVENT_LOG
					compareTimes(t, log, resp)
					if int(resp.GetMalformedLineCount()) != log.Malformed || int(resp.GetLinesWithoutStepCount()) != log.LinesWithoutStep {
						t.Errorf("malformed, without step = %d, %d; the file has %d, %d",
							resp.GetMalformedLineCount(), resp.GetLinesWithoutStepCount(), log.Malformed, log.LinesWithoutStep)
					}
				}
				if key == realviewer.KeyFarSteps && resp.GetLinesWithoutStepCount() != 2 {
					t.Errorf("%d lines without step, want 2", resp.GetLinesWithoutStepCount())
				}
				if resp.GetFidelity() != fidelity {
					t.Errorf("fidelity = %v, want %v", resp.GetFidelity(), fidelity)
				}
			})
		}
	})
}

// compareTimes compares the time of each value with that of its line.
func compareTimes(t *testing.T, log *realviewer.Log, resp *runicornapiv1.GetMetricsResponse) {
	t.Helper()
	want := make(map[position]float64)
	for _, row := range log.Merged() {
		for name, c := range row.Cells {
			want[position{name, row.Step}] = c.Time
		}
	}
	for _, series := range resp.GetSeries() {
		for i, step := range series.GetSteps() {
			at := position{series.GetMetricName(), step}
			if w := want[at]; !math.IsNaN(w) && w != series.GetTimes()[i] {
				t.Errorf("%v: time %v, the line has %v", at, series.GetTimes()[i], w)
			}
		}
	}
}

// getCells reads the merged view through the server and checks its shape.
func getCells(t *testing.T, s *server, viewer, runID string) (map[position]cell, *runicornapiv1.GetMetricsResponse) {
	t.Helper()
	resp, err := s.metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{Viewer: viewer, RunId: runID})
	if err != nil {
		t.Fatal(err)
	}
	cells := make(map[position]cell)
	for _, series := range resp.GetSeries() {
		digits := make(map[uint32]string)
		for _, e := range series.GetExact() {
			digits[e.GetIndex()] = e.GetDecimal()
		}
		if n := len(series.GetSteps()); len(series.GetTimes()) != n || len(series.GetValues())+len(series.GetTexts()) != n {
			t.Fatalf("%s: columns of unequal length", series.GetMetricName())
		}
		for i, step := range series.GetSteps() {
			at := position{series.GetMetricName(), step}
			if _, twice := cells[at]; twice {
				t.Errorf("%v twice", at)
			}
			switch series.GetKind() {
			case runicornapiv1.MetricKind_METRIC_KIND_TEXT:
				cells[at] = cell{Kind: "text", Text: series.GetTexts()[i]}
			case runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN:
				cells[at] = cell{Kind: "boolean", Value: series.GetValues()[i]}
			default:
				cells[at] = cell{Kind: "number", Value: series.GetValues()[i], Text: digits[uint32(i)]} //nolint:gosec // an index
			}
		}
	}
	return cells, resp
}

// tableOf reads the Viewer's own table, without its nulls.
func tableOf(t *testing.T, url, runID string) map[position]cell {
	t.Helper()
	var table struct {
		Rows []map[string]any `json:"rows"`
	}
	getJSON(t, url+"/api/runs/"+runID+"/metrics_step", &table)
	cells := make(map[position]cell)
	for _, row := range table.Rows {
		step, err := row["global_step"].(json.Number).Int64()
		if err != nil {
			continue // beyond an int64: no step of ours
		}
		for name, value := range row {
			if name == "global_step" || name == "time" || value == nil {
				continue
			}
			cells[position{name, step}] = jsonCell(t, value)
		}
	}
	return cells
}

func jsonCell(t *testing.T, value any) cell {
	t.Helper()
	switch v := value.(type) {
	case string:
		return cell{Kind: "text", Text: v}
	case bool:
		return boolean(v)
	case json.Number:
		return number(v.String())
	}
	t.Fatalf("a cell is %T", value)
	return cell{}
}

// cellOf converts a cell of the oracle; null is no cell.
func cellOf(v realviewer.Value) (cell, bool) {
	switch v.Kind {
	case realviewer.KindText:
		return cell{Kind: "text", Text: v.Text}, true
	case realviewer.KindBoolean:
		return boolean(v.Number != 0), true
	case realviewer.KindNumber:
		return number(v.Text), true
	}
	return cell{}, false
}

func boolean(v bool) cell {
	if v {
		return cell{Kind: "boolean", Value: 1}
	}
	return cell{Kind: "boolean"}
}

// number keeps the digits of integers that a double rounds.
func number(text string) cell {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		panic(fmt.Sprintf("%q is no number", text))
	}
	c := cell{Kind: "number", Value: f}
	if !strings.ContainsAny(text, ".eENI") && strconv.FormatFloat(f, 'f', 0, 64) != text {
		c.Text = text
	}
	return c
}
