package export

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sampleLog is an event file with all that formats find hard: every kind,
// metrics of mixed kinds, what is not finite, integers beyond a double, names
// and texts with everything that needs quotes, a rewrite, a step that goes
// back, a null, an image.
const sampleLog = `{"ts": 1795446718.5, "type": "metrics", "data": {"loss": 0.5, "acc": NaN, "seed": 1152921504606846977, "stage": "warm, up", "global_step": 1, "time": 1795446718.25}}
{"ts": 1795446719.5, "type": "metrics", "data": {"loss": Infinity, "mixed": 1, "flag": true, "global_step": 2}}
{"ts": 1795446720.5, "type": "metrics", "data": {"loss": -Infinity, "mixed": "NaN", "val/损失 \"q\"": -0.0, "global_step": 3}}
{"ts": 1795446721.5, "type": "image", "data": {"key": "sample", "path": "media/1.png", "step": 3, "caption": "a <cat>"}}
{"ts": 1795446722.5, "type": "metrics", "data": {"loss": 1e-300, "mixed": false, "seed": 7, "global_step": 4}}
{"ts": 1795446723.5, "type": "metrics", "data": {"loss": 0.25, "acc": null, "global_step": 1}}
{"ts": 1795446724.5, "type": "metrics", "data": {"stage": "two\nlines", "empty": "", "global_step": -9007199254740993}}
`

// sampleRun describes the sample.
func sampleRun() *Run {
	return &Run{
		Viewer: "local", ID: "20260101_000000_abcdef", Project: "vision", Name: "res/net <50>",
		Experiment: []byte(`{"run_id":"20260101_000000_abcdef"}`), Environment: []byte(`{"available":false}`),
		Fields:  []Field{{"Status", "finished"}, {"Tags", "a|b, <i>c</i>"}},
		Summary: []Field{{"best", "0.25"}}, EnvironmentFields: []Field{{"python", "3.11"}},
	}
}

// parse hands out the rows of the sample.
func parse(tb testing.TB, h eventlog.Handler) {
	tb.Helper()
	var p eventlog.Parser
	if _, err := p.Parse([]byte(sampleLog), 0, h); err != nil {
		tb.Fatal(err)
	}
}

// sampleTable is the merged view of the sample.
func sampleTable(tb testing.TB) *eventlog.Table {
	tb.Helper()
	t := eventlog.NewTable()
	parse(tb, eventlog.Handler{Row: func(row *eventlog.Row) error {
		t.Put(row)
		return nil
	}})
	t.Compact()
	return t
}

// onePiece fails a test whose pieces of computing are within one another.
func onePiece(tb testing.TB) Compute {
	tb.Helper()
	computing := false
	return func(work func() error) error {
		if computing {
			tb.Error("a piece of computing is within another one")
		}
		computing = true
		defer func() { computing = false }()
		return work()
	}
}

// file writes a file of the sample, several times the same run if need be.
func file(tb testing.TB, f Format, l Layout, runs int) []byte {
	tb.Helper()
	var out strings.Builder
	all := eventlog.Selection{}
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	table, run := sampleTable(tb), sampleRun()
	switch {
	case f == JSON:
		doc, err := NewDocument(&out, onePiece(tb))
		check(err)
		for range runs {
			check(doc.WriteRun(run, func(d *Document) error {
				return d.WriteSeries(run, table, Counts{MalformedLines: 2}, all)
			}, nil))
		}
		check(doc.Close())
	case f == JSONLines || l == Long:
		points, err := NewPoints(f, &out, runs > 1, all)
		check(err)
		for range runs {
			parse(tb, eventlog.Handler{
				Row:   func(row *eventlog.Row) error { return points.WriteRow(run, row) },
				Media: func(m *eventlog.Media) error { return points.WriteMedia(run, m) },
			})
		}
		check(points.Close())
	default:
		schema := NewSchema(runs > 1)
		schema.Add(table, all)
		wide, err := NewWide(f, &out, schema, onePiece(tb))
		check(err)
		for range runs {
			check(wide.WriteRun(run, table, all))
		}
		check(wide.Close())
	}
	return []byte(out.String())
}

// golden compares with a file in testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestTextFormats(t *testing.T) {
	for _, test := range []struct {
		name   string
		format Format
		layout Layout
		runs   int
	}{
		{"wide.csv", CSV, Wide, 1},
		{"wide_several.csv", CSV, Wide, 2},
		{"long.csv", CSV, Long, 1},
		{"long_several.csv", CSV, Long, 2},
		{"events.jsonl", JSONLines, Long, 1},
		{"events_several.jsonl", JSONLines, Long, 2},
		{"document.json", JSON, Wide, 1},
		{"document_several.json", JSON, Wide, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			golden(t, test.name, file(t, test.format, test.layout, test.runs))
		})
	}
}

func TestFileName_IsSafe(t *testing.T) {
	for _, test := range []struct {
		what string
		runs []*Run
		want string
	}{
		{"project, name and id", []*Run{{Project: "vision", Name: "resnet", ID: "20260101_000000_abcdef"}}, "vision-resnet-20260101_000000_abcdef.csv"},
		{"no folders, no control characters", []*Run{{Project: "../etc", Name: "a/b\\c\x00\n", ID: "r"}}, "etc-a-b-c-r.csv"},
		{"any script stays", []*Run{{Project: "проект", Name: "损失 函数", ID: "r"}}, "проект-损失-函数-r.csv"},
		{"neither hidden nor an option", []*Run{{Name: "--rf .x", ID: "..r"}}, "rf-.x-r.csv"},
		{"nothing but an id", []*Run{{ID: "r"}}, "r.csv"},
		{"a long name is cut at a rune", []*Run{{Name: strings.Repeat("损", 200), ID: "r"}}, strings.Repeat("损", 59) + "r.csv"},
		{"several", []*Run{{ID: "a"}, {ID: "b"}}, "runicorn-2-experiments.csv"},
	} {
		if got := CSV.FileName(test.runs); got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
}

func TestArchive_SeparatesRuns(t *testing.T) {
	runs := []*Run{{Viewer: "a", ID: "r"}, {Viewer: "b", ID: "r"}}
	var out strings.Builder
	archive := NewArchive(&out, time.Unix(0, 0), runs, nil)
	for _, run := range runs {
		if err := archive.Add(archive.Name(run, "events.jsonl"), strings.NewReader(run.Viewer)); err != nil {
			t.Fatal(err)
		}
	}
	if !archive.Has("a/r/events.jsonl") || !archive.Has("b/r/events.jsonl") || archive.Has("r/events.jsonl") {
		t.Errorf("the archive has %v", archive.added)
	}
}

func TestNumbers_RoundTrip(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", math.Copysign(0, -1): "-0.0", 0.1: "0.1", 1e21: "1e+21", math.NaN(): "NaN", math.Inf(-1): "-Infinity",
		math.MaxFloat64: "1.7976931348623157e+308", math.SmallestNonzeroFloat64: "5e-324",
	} {
		if got := string(appendNumber(nil, v)); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}

// TestNumbers_KeepTheDigitsOfIntegers writes what was logged as CSV, JSON and
// lines of JSON have it.
func TestNumbers_KeepTheDigitsOfIntegers(t *testing.T) {
	for logged, want := range map[string]string{
		"0": "0", "-0": "0", "1": "1", "-7": "-7", "100000": "100000", "1000000": "1000000", "-1000000": "-1000000",
		"1234567": "1234567", "123456789012": "123456789012",
		"9007199254740991": "9007199254740991", "-9007199254740991": "-9007199254740991", // 2^53-1
		"9007199254740992": "9007199254740992", "9007199254740993": "9007199254740993",
		"1152921504606846976": "1152921504606846976", // 2^60, which is exact as a double
		"1152921504606846977": "1152921504606846977",
		"9223372036854775807": "9223372036854775807", "-9223372036854775808": "-9223372036854775808",
		"123456789012345678901234567890": "123456789012345678901234567890",
		"1e6":                            "1000000", "1e18": "1000000000000000000", "1e19": "1e+19", "1.5": "1.5", "0.1": "0.1", "1234567.5": "1.2345675e+06", "1e-7": "1e-07", "1e300": "1e+300",
		"-0.0": "-0.0", "0.30000000000000004": "0.30000000000000004",
	} {
		var cells []eventlog.Cell
		line := `{"ts": 1, "type": "metrics", "data": {"x": ` + logged + `, "global_step": 1}}` + "\n"
		var p eventlog.Parser
		if _, err := p.Parse([]byte(line), 0, eventlog.Handler{Row: func(row *eventlog.Row) error {
			cells = slices.Clone(row.Cells)
			return nil
		}}); err != nil || len(cells) != 1 {
			t.Fatalf("%s: %v, %d cells", logged, err, len(cells))
		}
		if got := string(appendCell(nil, &cells[0])); got != want {
			t.Errorf("%s is %q in CSV, want %q", logged, got, want)
		}
		if got := string(appendValue(nil, &cells[0])); got != want {
			t.Errorf("%s is %q in JSON, want %q", logged, got, want)
		}
	}
}

// TestTexts_AreHarmless: what a run logs must not be computed by a spreadsheet nor
// obeyed by a terminal, and numbers stay numbers.
func TestTexts_AreHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+SUM(A1)": "'+SUM(A1)", "-2+3": "'-2+3", "@x": "'@x", "\tx": "'\tx", "\rx": "\"'\rx\"",
		"-5": "-5", "+1e3": "+1e3", "-inf": "-inf", "a=b": "a=b", "=a,b": `"'=a,b"`,
		"\x1b[31mred": "\uFFFD[31mred", "\a": "\uFFFD", "\u009b2J": "\uFFFD2J", "\x7f": "\uFFFD", "\xff": "\uFFFD", "a\nb": "\"a\nb\"",
	} {
		if got := string(appendField(nil, text)); got != want {
			t.Errorf("%q is %q in CSV, want %q", text, got, want)
		}
	}
	run := sampleRun()
	table := eventlog.NewTable()
	for step, text := range []string{"=1+1\x1b[31m", "\u009b2J\a\x7f"} {
		table.Put(&eventlog.Row{Step: int64(step), Cells: []eventlog.Cell{
			{Name: "=name\x1b" + text, Kind: eventlog.KindText, Text: text}, {Name: "negative\x1b", Kind: eventlog.KindNumber, Number: -1.5},
		}})
	}
	table.Compact()
	run.Name, run.Fields = "n\x1b[2J\u009b", []Field{{"Tags\a", "\x1b]0;title\a"}}
	report := NewReport(1, nil)
	report.AddRun(run, table, eventlog.Selection{})
	lost := Image{Open: func() (io.ReadCloser, error) { return nil, nil }}
	lost.Key = "key\x1b"
	report.AddImages(run, []Image{lost})
	var html, markdown, document strings.Builder
	doc, err := NewDocument(&document, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(report.WriteHTML(&html, nil), report.WriteMarkdown(&markdown, nil), doc.WriteRun(run, func(d *Document) error {
		return d.WriteSeries(run, table, Counts{}, eventlog.Selection{})
	}, nil), doc.Close())
	if err != nil {
		t.Fatal(err)
	}
	csv := string(wideFile(t, CSV, table))
	for name, file := range map[string]string{"HTML": html.String(), "Markdown": markdown.String(), "CSV": csv, "JSON": document.String()} {
		for _, r := range file {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				t.Errorf("%s has the control character %U", name, r)
			}
		}
	}
	if !strings.Contains(csv, ",-1.5") || !strings.Contains(csv, "'=1+1") || !strings.HasPrefix(csv, "step,'=name") {
		t.Errorf("the table is %q", csv)
	}
	if !json.Valid([]byte(document.String())) {
		t.Errorf("no JSON: %s", document.String())
	}
}
