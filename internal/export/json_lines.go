package export

import (
	"io"
	"strconv"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// jsonLines is events as JSON, one object per line, in the order of logging:
//
//	{"type":"metrics","step":3,"time":1795446718.5,"metrics":{"loss":0.5,"acc":"NaN"},"nonfinite":["acc"]}
//	{"type":"image","step":3,"time":1795446718.5,"key":"sample","path":"media/1.png","caption":"a cat"}
//
// NaN, Infinity and -Infinity are strings, since JSON has no numbers for them, and
// "nonfinite" names the metrics that have one, so that they differ from a logged text
// "NaN". Integers have all their digits. A null withdraws the value that an earlier line
// has for the metric at that step, as in a Viewer. A run of a merged table has one line
// per step. In a file of several runs every line has "viewer" and "run_id".
type jsonLines struct {
	textFile
	multiRun bool
}

func newJSONLines(out io.Writer, multiRun bool) *jsonLines {
	return &jsonLines{textFile: newTextFile(out), multiRun: multiRun}
}

// appendHeader starts a line of any type.
func (x *jsonLines) appendHeader(kind string, run *Run) []byte {
	line := append(x.AvailableBuffer(), `{"type":"`...)
	line = append(append(line, kind...), '"')
	if x.multiRun {
		line = appendText(append(line, `,"viewer":`...), run.Viewer)
		line = appendText(append(line, `,"run_id":`...), run.ID)
	}
	return line
}

func (x *jsonLines) row(run *Run, row *eventlog.Row) error {
	line := append(x.appendHeader("metrics", run), `,"step":`...)
	line = strconv.AppendInt(line, row.Step, 10)
	if row.HasTime {
		line = strconv.AppendFloat(append(line, `,"time":`...), row.Time, 'f', -1, 64)
	}
	line = append(line, `,"metrics":{`...)
	nonFinite := 0
	for i := range row.Cells {
		c := &row.Cells[i]
		if i > 0 {
			line = append(line, ',')
		}
		line = append(appendText(line, c.Name), ':')
		line = appendValue(line, c)
		if isNonFinite(c) {
			nonFinite++
		}
	}
	line = append(line, '}')
	if nonFinite > 0 {
		line = appendNonFinite(line, row.Cells)
	}
	_, err := x.Write(append(line, "}\n"...))
	return err
}

func isNonFinite(c *eventlog.Cell) bool {
	return c.Kind == eventlog.KindNumber && c.Exact == "" && !isFinite(c.Number)
}

func appendNonFinite(line []byte, cells []eventlog.Cell) []byte {
	line = append(line, `,"nonfinite":[`...)
	first := true
	for i := range cells {
		if !isNonFinite(&cells[i]) {
			continue
		}
		if !first {
			line = append(line, ',')
		}
		first = false
		line = appendText(line, cells[i].Name)
	}
	return append(line, ']')
}

func (x *jsonLines) media(run *Run, m *eventlog.Media) error {
	line := x.appendHeader("image", run)
	if m.HasStep {
		line = strconv.AppendInt(append(line, `,"step":`...), m.Step, 10)
	}
	if m.HasTime {
		line = strconv.AppendFloat(append(line, `,"time":`...), m.Time, 'f', -1, 64)
	}
	line = appendText(append(line, `,"key":`...), m.Key)
	line = appendText(append(line, `,"path":`...), m.Path)
	if m.Caption != "" {
		line = appendText(append(line, `,"caption":`...), m.Caption)
	}
	_, err := x.Write(append(line, "}\n"...))
	return err
}
