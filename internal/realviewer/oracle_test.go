package realviewer

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func metrics(data string) string {
	return `{"ts": 5.5, "type": "metrics", "data": ` + data + "}\n"
}

func number(value float64, text string) Value {
	return Value{Kind: KindNumber, Number: value, Text: text}
}

func TestParseLog_ParsesPythonsJSON(t *testing.T) {
	for _, row := range []struct {
		name string
		text string
		want Log
	}{
		{"nothing", "", Log{}},
		{"a blank line is no line", "\n  \n", Log{}},
		{
			"every kind of cell", metrics(`{"i": 1152921504606846977, "f": 0.5, "b": true, "t": "x", "n": null, "l": [1], "o": {}, "global_step": 3, "time": 7.25}`),
			Log{Lines: []LoggedLine{{Step: 3, Time: 7.25, Cells: map[string]Value{
				"i": number(1<<60, "1152921504606846977"),
				"f": number(0.5, "0.5"),
				"b": {Kind: KindBoolean, Number: 1},
				"t": {Kind: KindText, Text: "x"},
				"n": {Kind: KindNull},
			}}}},
		},
		{
			"tokens outside strings only", metrics(`{"NaN": "NaN, \"Infinity", "a": NaN, "b": -Infinity, "c": Infinity, "step": -1}`),
			Log{Lines: []LoggedLine{{Step: -1, Time: 5.5, Cells: map[string]Value{
				"NaN": {Kind: KindText, Text: `NaN, "Infinity`},
				"a":   number(math.NaN(), "NaN"),
				"b":   number(math.Inf(-1), "-Infinity"),
				"c":   number(math.Inf(1), "Infinity"),
			}}}},
		},
		{
			"steps as Python's int takes them",
			metrics(`{"global_step": "60"}`) + metrics(`{"global_step": 61.9}`) + metrics(`{"global_step": null, "step": true}`),
			Log{Lines: []LoggedLine{
				{Offset: 0, Step: 60, Time: 5.5}, {Offset: 62, Step: 61, Time: 5.5}, {Offset: 124, Step: 1, Time: 5.5},
			}},
		},
		{
			"every key but time and what gave the step is a cell",
			metrics(`{"epoch": 2, "step": 3, "global_step": 30, "time": 1}`) + metrics(`{"epoch": 2, "step": 3, "global_step": null}`),
			Log{Lines: []LoggedLine{
				{Step: 30, Time: 1, Cells: map[string]Value{"epoch": number(2, "2"), "step": number(3, "3")}},
				{Offset: 94, Step: 3, Time: 5.5, Cells: map[string]Value{"epoch": number(2, "2")}},
			}},
		},
		{
			"no usable step", metrics(`{"a": 1}`) + metrics(`{"global_step": "x"}`) + metrics(`{"global_step": NaN}`) + metrics(`{"global_step": 1e300}`),
			Log{LinesWithoutStep: 4},
		},
		{"malformed lines are counted", "{\"ts\": 1\nnonsense\n{} {}\n", Log{Malformed: 3}},
		{"other lines are counted", "[1]\n\"x\"\n{\"type\": \"image\"}\n{\"type\": \"metrics\", \"data\": 1}\n", Log{LinesWithoutStep: 1, Other: 3}},
		{"a line without its newline is the rest", "[1]\n{\"a\"", Log{Other: 1, Unterminated: []byte(`{"a"`), UnterminatedOffset: 4}},
	} {
		t.Run(row.name, func(t *testing.T) {
			opts := cmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}
			want := row.want
			if want.Unterminated == nil {
				want.UnterminatedOffset = int64(len(row.text))
			}
			if diff := cmp.Diff(&want, ParseLog([]byte(row.text)), opts); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLog_EndedIncludesACompleteLastLine(t *testing.T) {
	line := metrics(`{"a": NaN, "global_step": 1}`)
	whole := strings.TrimSuffix(line, "\n")
	for _, row := range []struct {
		name, rest string
		want       int
	}{
		{"nothing", "", 1},
		{"complete", whole, 2},
		{"torn", whole[:20], 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			logged := ParseLog([]byte(line + row.rest))
			if got := len(logged.Ended().Lines); got != row.want {
				t.Errorf("%d lines, want %d", got, row.want)
			}
			if got := len(logged.Lines); got != 1 {
				t.Errorf("the log itself has %d lines, want 1", got)
			}
		})
	}
}

func TestLog_MergesByStep(t *testing.T) {
	logged := ParseLog([]byte(metrics(`{"a": 1, "b": 1, "global_step": 2, "time": 1}`) +
		metrics(`{"a": 2, "global_step": -1, "time": 2}`) +
		metrics(`{"a": NaN, "global_step": 2, "time": 3}`)))
	want := []MergedRow{
		{Step: -1, Cells: map[string]MergedCell{"a": {number(2, "2"), 2}}},
		{Step: 2, Cells: map[string]MergedCell{"a": {number(math.NaN(), "NaN"), 3}, "b": {number(1, "1"), 1}}},
	}
	if diff := cmp.Diff(want, logged.Merged(), cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, logged.Names()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := logged.Points("a", KindNumber); len(got) != 3 || got[1].Step != -1 || got[1].Time != 2 {
		t.Errorf("the points are %v", got)
	}
}

func TestCurve_WritesLinesLikeTheSDK(t *testing.T) {
	var text []byte
	for line := range Curve(time.Unix(1_795_446_000, 0), 2, "loss", `a "name"`) {
		text = append(append(text, line...), '\n')
	}
	want := `{"ts": 1795446000.1, "type": "metrics", "data": {"loss": 1, "a \"name\"": 0.5, "global_step": 1, "time": 1795446000.1}}
{"ts": 1795446000.2, "type": "metrics", "data": {"loss": 0.5, "a \"name\"": 0.6666666666666667, "global_step": 2, "time": 1795446000.2}}
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
