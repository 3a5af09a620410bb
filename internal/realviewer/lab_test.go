package realviewer

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"testing"
)

func TestLab_EveryReleaseListsTheSeededRuns(t *testing.T) {
	for _, version := range Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			seeded := lab.Viewer(t, version)
			var runs []struct{ ID, Status string }
			if err := seeded.getJSON(t.Context(), "/api/runs", &runs); err != nil {
				t.Fatal(err)
			}
			status := make(map[string]string)
			for _, run := range runs {
				status[run.ID] = run.Status
			}
			for key, run := range seeded.Manifest.Runs {
				want := run.Status
				if key == KeyCrashed {
					want = "failed"
				}
				if got := status[run.RunID]; got != want {
					t.Errorf("run %s is %q, want %q", key, got, want)
				}
			}
			if got, want := len(runs), len(seeded.Manifest.Runs); got != want {
				t.Errorf("%d runs are listed, want %d", got, want)
			}
		})
	}
}

// tableCell identifies one cell of the Viewer's table; the name is the column.
type tableCell struct {
	step int64
	name string
}

// readTable reads the Viewer's merged table of a run, cells by their JSON text.
func readTable(t *testing.T, seeded *Seeded, runID string) (rows int, cells map[tableCell]json.RawMessage) {
	t.Helper()
	var table struct {
		Columns []string
		Rows    []map[string]json.RawMessage
	}
	if err := seeded.getJSON(t.Context(), "/api/runs/"+runID+"/metrics_step", &table); err != nil {
		t.Fatal(err)
	}
	cells = make(map[tableCell]json.RawMessage)
	for _, row := range table.Rows {
		step, err := strconv.ParseInt(string(row["global_step"]), 10, 64)
		if err != nil {
			continue // beyond int64: not a step here
		}
		rows++
		for name, text := range row {
			if name != "global_step" && name != "time" && string(text) != "null" {
				cells[tableCell{step, name}] = text
			}
		}
	}
	return rows, cells
}

func TestOracle_AgreesWithTheViewersTable(t *testing.T) {
	for _, version := range Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			seeded := lab.Viewer(t, version)
			for _, key := range seeded.Manifest.Keys() {
				if key == KeyLive || key == KeyBig {
					continue // one grows between the two reads, the other is only long
				}
				run := seeded.Manifest.Runs[key]
				logged, err := ReadLog(run.EventFile)
				if err != nil {
					t.Fatal(err)
				}
				rows, table := readTable(t, seeded, run.RunID)
				merged := logged.Ended().Merged()
				if rows != len(merged) {
					t.Errorf("%s: the Viewer has %d rows, the oracle %d", key, rows, len(merged))
				}
				for _, row := range merged {
					for name, cell := range row.Cells {
						if !InTable(name) {
							continue
						}
						at := tableCell{row.Step, name}
						if got, want := string(table[at]), tableText(t, cell.Value); got != want {
							t.Errorf("%s: step %d, %q: the Viewer says %s, the oracle %s", key, row.Step, name, got, want)
						}
						delete(table, at)
					}
				}
				if len(table) > 0 {
					t.Errorf("%s: the oracle lacks %v", key, table)
				}
			}
		})
	}
}

// tableText returns a cell as the Viewer writes it, empty for null.
func tableText(t *testing.T, value Value) string {
	t.Helper()
	switch value.Kind {
	case KindText:
		text, err := json.Marshal(value.Text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	case KindBoolean:
		return strconv.FormatBool(value.Number == 1)
	case KindNumber:
		if math.IsNaN(value.Number) || math.IsInf(value.Number, 0) {
			return ""
		}
		return value.Text
	default:
		return ""
	}
}

func TestLab_ManifestMatchesTheStorage(t *testing.T) {
	always := []string{KeyBasic, KeyNaN, KeySparse, KeyBig, KeyLive, KeyHeld, KeyReopened, KeyCrashed, "extra"}
	only := map[string]func(Version) bool{
		KeyHugeInts:      func(v Version) bool { return v != V072 },
		KeyCustomStatus:  func(v Version) bool { return v != V072 },
		KeyDeep:          Version.HasPaths,
		KeyAssets:        Version.HasPaths,
		KeyUnicode:       func(v Version) bool { return !v.HasPaths() },
		KeyArtifactModel: func(v Version) bool { return !v.HasPaths() },
	}
	for _, version := range Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			seeded := lab.Viewer(t, version)
			keys := seeded.Manifest.Keys()
			for _, key := range always {
				if !slices.Contains(keys, key) {
					t.Errorf("%s is missing", key)
				}
			}
			for key, has := range only {
				if got, want := slices.Contains(keys, key), has(seeded.Version()); got != want {
					t.Errorf("has %s: %t, want %t", key, got, want)
				}
			}
		})
	}
}
