package eventlog

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func TestParser_SkipsLongLines(t *testing.T) {
	const line = `{"type":"metrics","data":{"a":1,"global_step":%d}}` + "\n"
	first, last := fmt.Sprintf(line, 1), fmt.Sprintf(line, 2)
	long := strings.Repeat(" ", MaxLine+1)
	for _, test := range []struct {
		name string
		file string
		want string
	}{
		{"with what follows it", first + long + "\n" + last, "[1 2] 1 malformed"},
		{"of many chunks", first + long + long + long + "\n" + last, "[1 2] 1 malformed"},
		{"that does not end", first + long, "[1] 1 malformed"},
		{"at the beginning", long + "\n" + last, "[2] 1 malformed"},
		{"after each other", long + "\n" + long + "\n" + last, "[2] 2 malformed"},
		{"which is just not too long", first + long[1:] + "\n" + last, "[1 2] 0 malformed"},
	} {
		for _, chunk := range []int{len(test.file), MaxLine/2 + 7} {
			t.Run(fmt.Sprintf("%s, in chunks of %d bytes", test.name, chunk), func(t *testing.T) {
				var p Parser
				var steps []int64
				h := Handler{Row: func(r *Row) error { steps = append(steps, r.Step); return nil }}
				rest := ""
				for from := 0; from < len(test.file); from += chunk {
					text := rest + test.file[from:min(from+chunk, len(test.file))]
					n, err := p.Parse([]byte(text), int64(from-len(rest)), h)
					if err != nil {
						t.Fatal(err)
					}
					if rest = text[n:]; len(rest) > MaxLine {
						t.Fatalf("%d bytes are to be held", len(rest))
					}
				}
				if complete, err := p.Finish([]byte(rest), 0, h); complete || err != nil {
					t.Errorf("Finish = %v, %v", complete, err)
				}
				counts := p.Counts()
				if got := fmt.Sprintf("%v %d malformed", steps, counts.MalformedLines); got != test.want || counts.MalformedLines != counts.Excess[longLine].Count {
					t.Errorf("got %s, %v; want %s", got, counts.Limitations(), test.want)
				}
			})
		}
	}
}

func TestParser_EnforcesLimits(t *testing.T) {
	many := &strings.Builder{}
	for i := range MaxMetrics + 3 {
		fmt.Fprintf(many, `"m%d":1,`, i)
	}
	longName, longValue := strings.Repeat("n", MaxName+1), strings.Repeat("é", MaxText)
	for _, test := range []struct {
		name  string
		data  string
		cells int
		want  string
	}{
		{"a long name is left out", `"a":1,"` + longName + `":2,"b":3`, 2, "1 values of metrics with names of more than 1024 bytes were left out, the first of the metric \"nnnn"},
		{"a long text is cut at a whole character", `"a":1,"t":"` + longValue + `"`, 2, `1 texts are longer than 256 KiB and were cut, the first of the metric "t"`},
		{"names beyond the limit are left out", many.String() + `"z":1`, MaxMetrics, `4 values of metrics beyond 65536 were left out, the first of the metric "m65536"`},
		{"far more names than allowed, followed by the step", strings.ReplaceAll(many.String(), "m", "k") + many.String() + many.String() + `"z":1`, MaxMetrics, `131082 values of metrics beyond 65536`},
		{"a name of the limit stays", `"` + longName[1:] + `":2`, 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			line := `{"type":"metrics","data":{` + test.data + `,"global_step":7}}` + "\n"
			var p Parser
			rows := 0
			h := Handler{Row: func(r *Row) error {
				if rows++; r.Step != 7 || len(r.Cells) != test.cells {
					t.Errorf("step %d, %d cells, want %d", r.Step, len(r.Cells), test.cells)
				}
				for _, c := range r.Cells {
					if len(c.Text) > MaxText || strings.ContainsRune(c.Text, '\uFFFD') {
						t.Errorf("a text of %d bytes", len(c.Text))
					}
				}
				if rows == 1 {
					return errAgain
				}
				return nil
			}}
			if _, err := p.Parse([]byte(line), 0, h); err != errAgain { //nolint:errorlint // it is returned as it is
				t.Fatal(err)
			}
			if _, err := p.Parse([]byte(line), 0, h); err != nil {
				t.Fatal(err)
			}
			counts := p.Counts()
			if got := strings.Join(counts.Limitations(), "; "); !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

var errAgain = fmt.Errorf("once more")

func TestTable_LimitsMetrics(t *testing.T) {
	table := NewTable()
	for i := range MaxMetrics + 2 {
		put(table, int64(i), 0, number(strconv.Itoa(i), 1))
		table.AddIndeterminate(fmt.Sprint("null", i), 1)
	}
	put(table, 0, 0, number("1", 2))
	table.Compact()
	excess := table.Excess()
	if names := len(table.Names(Selection{})); names != 2*MaxMetrics || excess[manyMetrics].Count != 2 {
		t.Errorf("%d names, %v", names, excess.Limitations())
	}
}

func TestCounts_Since(t *testing.T) {
	var before, after, sum Counts
	before.addMetric(longText, "a")
	after = before
	after.addMetric(longText, "b")
	after.addLine(7)
	after.MalformedLines = 3
	sum.Add(before)
	sum.Add(after.Since(before))
	if sum != after {
		t.Errorf("got %+v, want %+v", sum, after)
	}
}
