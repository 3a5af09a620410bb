package demotest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMergeLines_FollowsTheViewersRules(t *testing.T) {
	cases := map[string]struct {
		lines string
		want  [][]string
	}{
		"no lines give no columns": {"", [][]string{{}}},
		"a later write of a step wins, cell by cell": {
			`{"type":"metrics","data":{"a":1,"b":2,"global_step":3}}` + "\n" +
				`{"type":"metrics","data":{"a":9,"global_step":3}}`,
			[][]string{{"global_step", "a", "b"}, {"3", "9", "2"}},
		},
		"steps are cut to integers and sorted, negative ones too": {
			`{"type":"metrics","data":{"a":1,"step":"60"}}` + "\n" + `{"type":"metrics","data":{"a":2,"global_step":-1.9}}`,
			[][]string{{"global_step", "a"}, {"-1", "2"}, {"60", "1"}},
		},
		"non-finite tokens become null, also beyond a double": {
			`{"type":"metrics","data":{"a":NaN,"b":-Infinity,"c":1e999,"d":"NaN","global_step":1}}`,
			[][]string{{"global_step", "a", "b", "c", "d"}, {"1", "", "", "", `"NaN"`}},
		},
		"lists, objects, step and epoch are dropped": {
			`{"type":"metrics","data":{"a":[1],"b":{},"epoch":2,"c":true,"global_step":1}}`,
			[][]string{{"global_step", "c"}, {"1", "true"}},
		},
		"broken lines, other events and lines without a step are skipped": {
			"{\"type\":\n" + `{"type":"image","data":{"step":1}}` + "\n" + `{"type":"metrics","data":{"a":1}}`,
			[][]string{{}},
		},
		"columns are sorted by code point": {
			`{"type":"metrics","data":{"é":1,"z":1,"Z":1,"学":1,"global_step":1}}`,
			[][]string{{"global_step", "Z", "z", "é", "学"}, {"1", "1", "1", "1", "1"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, dump(mergeLines([]byte(c.lines)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMetricTable_FailsForTextInTheDownsampledColumn(t *testing.T) {
	b := newBed(t, Config{Empty: true})
	var lines strings.Builder
	for step := range 200 {
		fmt.Fprintf(&lines, `{"type":"metrics","data":{"a":1,"global_step":%d}}`+"\n", step)
	}
	lines.WriteString(`{"type":"metrics","data":{"a":"text","global_step":999999}}` + "\n")
	id := b.AddRun(Run{Path: "a/b", Events: []byte(lines.String())})
	downsampled := b.ask("GET", "/api/runs/"+id+"/metrics_step?downsample=100", "")
	if downsampled.status != 500 || string(downsampled.body) != "Internal Server Error" {
		t.Errorf("%d %s", downsampled.status, downsampled.body)
	}
	if got := b.ask("GET", "/api/runs/"+id+"/metrics_step", "").status; got != 200 {
		t.Errorf("without downsample: %d", got)
	}
}

func FuzzMergeLines(f *testing.F) {
	f.Add([]byte(`{"type":"metrics","data":{"a":NaN,"b":"x\"y","global_step":1}}` + "\n"))
	f.Add([]byte(`{"type":"metrics","data":{"a":-Infinity,"step":"7"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		merged := mergeLines(raw)
		for i, cells := range merged.rows {
			for j, cell := range cells {
				if len(cell) > 0 && !json.Valid(cell) {
					t.Fatalf("row %d, %s: %q is no JSON", i, merged.columns[j], cell)
				}
			}
		}
	})
}

// dump makes a table comparable.
func dump(t table) [][]string {
	out := [][]string{t.columns}
	for _, row := range t.rows {
		var cells []string
		for _, cell := range row {
			cells = append(cells, string(cell))
		}
		out = append(out, cells)
	}
	return out
}
