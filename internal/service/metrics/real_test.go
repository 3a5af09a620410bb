package metrics

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// cells are the cells of a table as text, by metric and step.
type cells map[string]map[string]string

func (c cells) put(metric string, step int64, cell string) {
	if c[metric] == nil {
		c[metric] = map[string]string{}
	}
	c[metric][strconv.FormatInt(step, 10)] = cell
}

// numberText is a number as text, whichever way it was spelt.
func numberText(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// viewerCells reads a real Viewer's merged table.
func viewerCells(t *testing.T, base, runID string) cells {
	t.Helper()
	resp, err := http.Get(base + "/api/runs/" + url.PathEscape(runID) + "/metrics_step")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var table struct {
		Rows []map[string]any `json:"rows"`
	}
	decoder := json.NewDecoder(resp.Body)
	decoder.UseNumber()
	if err := decoder.Decode(&table); err != nil {
		t.Fatalf("read the table of %s: %v", runID, err)
	}
	out := cells{}
	for _, row := range table.Rows {
		number, _ := row["global_step"].(json.Number)
		step, err := number.Int64()
		if err != nil {
			continue // beyond an int64: no step of ours
		}
		for name, cell := range row {
			switch cell := cell.(type) {
			case json.Number:
				x, _ := cell.Float64() // out of range is infinite, as it was logged
				text := numberText(x)
				if !strings.ContainsAny(cell.String(), ".eE") {
					text = cell.String()
				}
				out.put(name, step, text)
			case bool:
				out.put(name, step, strconv.FormatBool(cell))
			case string:
				out.put(name, step, "'"+cell)
			}
		}
	}
	delete(out, "global_step")
	return out
}

// ourCells are the cells of a response. The Viewer has null for values that are not
// finite, so these are left out unless requested. A row's time is that of the line that
// last wrote to the step.
func ourCells(resp *runicornapiv1.GetMetricsResponse, nonFinite bool) cells {
	out := cells{}
	for _, s := range resp.GetSeries() {
		exact := map[int]string{}
		for _, e := range s.GetExact() {
			exact[int(e.GetIndex())] = e.GetDecimal()
		}
		for i, step := range s.GetSteps() {
			switch s.GetKind() {
			case runicornapiv1.MetricKind_METRIC_KIND_TEXT:
				out.put(s.GetMetricName(), step, "'"+s.GetTexts()[i])
			case runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN:
				out.put(s.GetMetricName(), step, strconv.FormatBool(s.GetValues()[i] != 0))
			default:
				x := s.GetValues()[i]
				isFinite := !math.IsNaN(x) && !math.IsInf(x, 0)
				switch text, isExact := exact[i]; {
				case isExact:
					out.put(s.GetMetricName(), step, text)
				case isFinite || nonFinite:
					out.put(s.GetMetricName(), step, numberText(x))
				}
			}
		}
	}
	return out
}

// logCells merges an event file by the plain reader: the last write wins, and a
// null takes a cell away.
func logCells(logged *realviewer.Log) cells {
	out := cells{}
	for _, line := range logged.Lines {
		for name, v := range line.Cells {
			switch v.Kind {
			case realviewer.KindNull:
				delete(out[name], strconv.FormatInt(line.Step, 10))
			case realviewer.KindText:
				out.put(name, line.Step, "'"+v.Text)
			case realviewer.KindBoolean:
				out.put(name, line.Step, strconv.FormatBool(v.Number != 0))
			default:
				out.put(name, line.Step, numberOf(v))
			}
		}
	}
	return out
}

func numberOf(v realviewer.Value) string {
	if !strings.ContainsAny(v.Text, ".eENI") {
		return v.Text
	}
	return numberText(v.Number)
}

// plain spells numbers in one way: whole ones by all their digits.
func plain(c cells) cells {
	out := cells{}
	for name, column := range c {
		for step, cell := range column {
			if strings.ContainsAny(cell, ".e") {
				if x, err := strconv.ParseFloat(cell, 64); err == nil && x == math.Trunc(x) {
					cell = big.NewFloat(x).Text('f', 0)
				}
			}
			if out[name] == nil {
				out[name] = map[string]string{}
			}
			out[name][step] = cell
		}
	}
	return out
}

// diffCells are the differing cells, at most ten of them.
func diffCells(want, got cells) (differences []string, compared int) {
	note := func(name, step, want, got string) {
		if want != got && len(differences) < 10 {
			differences = append(differences, fmt.Sprintf("%q at step %s: want %s, got %s", name, step, want, got))
		}
	}
	for name, column := range want {
		for step, cell := range column {
			compared++
			note(name, step, cell, got[name][step])
		}
	}
	for name, column := range got {
		for step, cell := range column {
			note(name, step, want[name][step], cell)
		}
	}
	return differences, compared
}

// newHarnessBefore starts our server before a Viewer that runs already.
func newHarnessBefore(t *testing.T, url string) *servicetest.Harness {
	t.Helper()
	return servicetest.Serve(t, []fleet.Entry{{Name: "real", URL: url}}, restclient.Config{}, servicetest.Setup{Register: register(nil)})
}

func TestMetrics_ParityWithRealViewers(t *testing.T) {
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			install := realviewer.Require(t, version)
			seeded, err := realviewer.StartSeeded(t.Context(), install, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := seeded.Close(); err != nil {
					t.Error(err)
				}
			})
			h := newHarnessBefore(t, seeded.URL())
			total := 0
			for _, key := range seeded.Manifest.Keys() {
				if key == realviewer.KeyLive || key == realviewer.KeyHeld {
					continue // they may grow between the two reads
				}
				run := seeded.Manifest.Runs[key]
				resp, err := h.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{RunId: run.RunID})
				if err != nil {
					t.Errorf("%s: %v", key, err)
					continue
				}
				want := viewerCells(t, seeded.URL(), run.RunID)
				times := want["time"]
				delete(want, "time")
				ours := ourCells(resp, false)
				maps.DeleteFunc(ours, func(name string, _ map[string]string) bool { return !realviewer.InTable(name) })
				differences, compared := diffCells(plain(want), plain(ours))
				if len(differences) > 0 {
					t.Errorf("%s and metrics_step differ:\n%s", key, strings.Join(differences, "\n"))
				}
				total += compared
				checkTimes(t, key, times, resp)
				if version.HasPaths() {
					checkLog(t, key, run, resp)
				}
			}
			if total < 1000 {
				t.Errorf("only %d cells were compared", total)
			}
			t.Logf("%d cells", total)
		})
	}
}

// checkTimes: no value is newer than its row, and each row's time is that of one of its
// values, if it has any.
func checkTimes(t *testing.T, key string, times map[string]string, resp *runicornapiv1.GetMetricsResponse) {
	t.Helper()
	newest := map[string]float64{}
	for _, s := range resp.GetSeries() {
		for i, step := range s.GetSteps() {
			at := strconv.FormatInt(step, 10)
			newest[at] = max(newest[at], s.GetTimes()[i])
		}
	}
	for at, x := range newest {
		if row, ok := times[at]; ok && x > 0 && row != numberText(x) {
			if f, err := strconv.ParseFloat(row, 64); err != nil || x > f {
				t.Errorf("%s: step %s has time %v, its newest value %v", key, at, row, x)
			}
		}
	}
}

// checkLog compares an answer with the event file itself, NaN and ±Inf
// included.
func checkLog(t *testing.T, key string, run realviewer.Run, resp *runicornapiv1.GetMetricsResponse) {
	t.Helper()
	if _, err := os.Stat(run.EventFile); err != nil {
		return // nothing was logged, or the Viewer has moved it
	}
	logged, err := realviewer.ReadLog(run.EventFile)
	if err != nil {
		t.Fatal(err)
	}
	logged = logged.Ended()
	if differences, _ := diffCells(plain(logCells(logged)), plain(ourCells(resp, true))); len(differences) > 0 {
		t.Errorf("%s and its event file differ:\n%s", key, strings.Join(differences, "\n"))
	}
	if resp.GetMalformedLineCount() != int64(logged.Malformed) || resp.GetLinesWithoutStepCount() != int64(logged.LinesWithoutStep) {
		t.Errorf("%s: %d malformed and %d without a step, want %d and %d", key,
			resp.GetMalformedLineCount(), resp.GetLinesWithoutStepCount(), logged.Malformed, logged.LinesWithoutStep)
	}
}
