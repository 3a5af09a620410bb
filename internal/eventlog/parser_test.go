package eventlog

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// recorded is everything that a Handler received.
type recorded struct {
	Rows   []Row
	Media  []Media
	Counts Counts
}

func (r *recorded) handler() Handler {
	return Handler{
		Row: func(row *Row) error {
			kept := *row
			kept.Cells = slices.Clone(row.Cells)
			r.Rows = append(r.Rows, kept)
			return nil
		},
		Media: func(media *Media) error {
			r.Media = append(r.Media, *media)
			return nil
		},
	}
}

// same compares rows and cells by value, ignoring the order of cells.
var same = gocmp.Options{
	cmpopts.EquateNaNs(),
	cmpopts.EquateEmpty(),
	cmpopts.SortSlices(func(a, b Cell) bool { return cmp.Less(a.Name, b.Name) }),
}

// parseAll parses a file in one chunk.
func parseAll(tb testing.TB, file []byte) recorded {
	tb.Helper()
	var p Parser
	var got recorded
	feed(tb, &p, file, max(len(file), 1), got.handler())
	got.Counts = p.Counts()
	return got
}

func number(name string, v float64) Cell { return Cell{Name: name, Kind: KindNumber, Number: v} }

func TestParse_Row(t *testing.T) {
	for _, test := range []struct {
		name string
		line string
		want Row
	}{
		{
			"a line of the SDK gives its step, its time and its cells in their order",
			`{"ts": 1.5, "type": "metrics", "data": {"loss": 0.5, "b": true, "s": "x", "global_step": 4, "time": 2.5, "stage": "train"}}`,
			Row{Step: 4, Time: 2.5, HasTime: true, Cells: []Cell{
				number("loss", 0.5),
				{Name: "b", Kind: KindBoolean, Number: 1},
				{Name: "s", Kind: KindText, Text: "x"},
				{Name: "stage", Kind: KindText, Text: "train"},
			}},
		},
		{
			"NaN and the infinities are values",
			`{"type":"metrics","data":{"a":NaN,"b":Infinity,"c":-Infinity,"d":1e400,"global_step":1}}`,
			Row{Step: 1, Cells: []Cell{
				number("a", math.NaN()), number("b", math.Inf(1)), number("c", math.Inf(-1)), number("d", math.Inf(1)),
			}},
		},
		{
			"an integer that a double rounds brings its text, and one that it holds does not",
			`{"type":"metrics","data":{"a":1152921504606846977,"b":1152921504606846976,"c":-9007199254740993,"d":123456789012345678901234567890,"e":10000000000000000000000,"global_step":1}}`,
			Row{Step: 1, Cells: []Cell{
				{Name: "a", Kind: KindNumber, Number: 1 << 60, Exact: "1152921504606846977"},
				number("b", 1<<60),
				{Name: "c", Kind: KindNumber, Number: -9007199254740992, Exact: "-9007199254740993"},
				{Name: "d", Kind: KindNumber, Number: 123456789012345678901234567890, Exact: "123456789012345678901234567890"},
				number("e", 1e22),
			}},
		},
		{
			"lists and objects are no cells, however deep",
			`{"type":"metrics","data":{"a":[1,[2,{"b":"]}"}]],"c":{},"d":[],"e":1,"global_step":1}}`,
			Row{Step: 1, Cells: []Cell{number("e", 1)}},
		},
		{
			"every key is a metric, epoch too, except time and the step",
			`{"type":"metrics","data":{"epoch":2,"global_step":10,"time":1.5,"a":1}}`,
			Row{Step: 10, Time: 1.5, HasTime: true, Cells: []Cell{number("epoch", 2), number("a", 1)}},
		},
		{
			"step is a metric if global_step gives the step, and keeps its position",
			`{"type":"metrics","data":{"a":1,"step":7,"global_step":10,"b":2}}`,
			Row{Step: 10, Cells: []Cell{number("a", 1), number("step", 7), number("b", 2)}},
		},
		{
			"a step that is no number is a metric all the same",
			`{"type":"metrics","data":{"global_step":10,"step":"late"}}`,
			Row{Step: 10, Cells: []Cell{{Name: "step", Kind: KindText, Text: "late"}}},
		},
		{
			"step gives the step where global_step is absent, and is no metric",
			`{"type":"metrics","data":{"step":7,"a":1,"epoch":1}}`,
			Row{Step: 7, Cells: []Cell{number("a", 1), number("epoch", 1)}},
		},
		{
			"step gives the step where global_step is null, and neither is a metric",
			`{"type":"metrics","data":{"a":1,"step":6,"global_step":null,"step":7}}`,
			Row{Step: 7, Cells: []Cell{number("a", 1)}},
		},
		{
			"null is a cell of no kind, which takes back",
			`{"type":"metrics","data":{"a":null,"global_step":1}}`,
			Row{Step: 1, Cells: []Cell{{Name: "a"}}},
		},
		{
			"the last of duplicate keys wins, at the position of the first",
			`{"type":"x","data":1,"type":"metrics","data":{"z":1},"data":{"a":1,"b":2,"a":"x","c":3,"c":[],"global_step":1,"global_step":2}}`,
			Row{Step: 2, Cells: []Cell{{Name: "a", Kind: KindText, Text: "x"}, number("b", 2)}},
		},
		{
			"the type may come after the data, and be escaped",
			`{"data":{"a":1,"global_step":1},"ts":7,"ty\u0070e":"metr\u0069cs"}`,
			Row{Step: 1, Time: 7, HasTime: true, Cells: []Cell{number("a", 1)}},
		},
		{
			"a time that is no finite number gives way to that of the line",
			`{"ts":7,"type":"metrics","data":{"time":NaN,"global_step":1}}`,
			Row{Step: 1, Time: 7, HasTime: true},
		},
		{
			"names and texts may be escaped, Unicode, empty, or no UTF-8 at all",
			"{\"type\":\"metrics\",\"data\":{\"\\ud83d\\ude00\":1,\"损失\":\"\\n\\ud800\",\"\":2,\"\xff\":\"a\xfe\",\"global_step\":1}}",
			Row{Step: 1, Cells: []Cell{
				number("😀", 1), {Name: "损失", Kind: KindText, Text: "\n\ufffd"}, number("", 2), {Name: "\ufffd", Kind: KindText, Text: "a\ufffd"},
			}},
		},
		{
			"white space may stand wherever JSON has it",
			" \t{ \"type\" : \"metrics\" , \"data\" : { \"a\" : 1 , \"global_step\" : 1 } } \r",
			Row{Step: 1, Cells: []Cell{number("a", 1)}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := parseAll(t, []byte(test.line+"\n"))
			want := recorded{Rows: []Row{test.want}}
			if diff := gocmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParse_Counts(t *testing.T) {
	for _, test := range []struct {
		name  string
		lines []string
		want  Counts
	}{
		{"a broken line is malformed", []string{
			`{"type":"metrics","data":{"a":1,}}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":-NaN}`, `{"a":1} x`,
			`{"a":"\x"}`, "{\"a\":\"\x01\"}", `{"a":tru}`, `{"a"}`, `{a:1}`, `{"a":[1,,2]}`, `{"a":[1}`, `{`, `"`, "\x00", `{"a":1e}`, `{"a":-}`,
			`{"a":` + strings.Repeat("7", 4301) + `}`,
			`{"a":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1) + `}`,
		}, Counts{MalformedLines: 21}},
		{"a metrics line without a usable step is counted as one without a step", []string{
			`{"type":"metrics"}`, `{"type":"metrics","data":[]}`, `{"type":"metrics","data":{"a":1}}`,
			`{"type":"metrics","data":{"global_step":"x","step":1}}`, `{"type":"metrics","data":{"global_step":[1],"step":1}}`,
			`{"type":"metrics","data":{"global_step":NaN}}`, `{"type":"metrics","data":{"global_step":9223372036854775808}}`,
			`{"type":"metrics","data":{"global_step":1},"data":null}`,
		}, Counts{LinesWithoutStep: 8}},
		{"other JSON is neither", []string{
			``, `  `, "\x0c\u00a0", `[1]`, `12`, `null`, `{}`, `{"type":"log","data":{"a":1}}`, `{"type":7}`, `{"data":{"global_step":1}}`,
			`{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`,
		}, Counts{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := parseAll(t, []byte(strings.Join(test.lines, "\n")+"\n"))
			if diff := gocmp.Diff(recorded{Counts: test.want}, got, same); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParse_ConsumesOnlyCompleteLines(t *testing.T) {
	const first, second = `{"type":"metrics","data":{"global_step":1}}` + "\n", `{"type":"metrics","data":{"global_step":2}}`
	var p Parser
	var got recorded
	n, err := p.Parse([]byte(first+second), 100, got.handler())
	if err != nil || n != len(first) {
		t.Fatalf("Parse = %d, %v; want %d", n, err, len(first))
	}
	for rest, want := range map[string]bool{second: true, second[:len(second)-1]: false, "12": false, "": false} {
		if complete, err := p.Finish([]byte(rest), 200, Handler{}); err != nil || complete != want {
			t.Errorf("Finish(%q) = %v, %v; want %v", rest, complete, err, want)
		}
	}
	if _, err := p.Finish([]byte(second), 200, got.handler()); err != nil {
		t.Fatal(err)
	}
	want := recorded{Rows: []Row{{Position: 100, Step: 1}, {Position: 200, Step: 2}}}
	if diff := gocmp.Diff(want, got, same); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p.Counts() != (Counts{}) {
		t.Errorf("Counts = %v; a torn last line is not malformed", p.Counts())
	}
}

func TestParse_StopsAtAnError(t *testing.T) {
	const line = `{"type":"metrics","data":{"global_step":1}}` + "\n"
	full := errors.New("full")
	var p Parser
	if n, err := p.Parse([]byte(line), 0, Handler{Row: func(*Row) error { return full }}); n != 0 || !errors.Is(err, full) {
		t.Errorf("a handler's error: Parse = %d, %v; want 0, %v", n, err, full)
	}
}

func TestParse_Media(t *testing.T) {
	got := parseAll(t, []byte(`{"ts": 2, "type": "image", "data": {"key": "k", "path": "media/y.png", "step": 7, "caption": "a \"b\""}}
{"type":"image","data":{"key":null,"path":"media/z.png","step":null,"caption":null}}
{"type":"image","data":{"key":"no path"}}
`))
	want := []Media{
		{Time: 2, HasTime: true, Step: 7, HasStep: true, Key: "k", Path: "media/y.png", Caption: `a "b"`},
		{Position: 105, Key: "image", Path: "media/z.png"},
	}
	if diff := gocmp.Diff(want, got.Media); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
