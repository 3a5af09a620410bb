package export

import (
	"fmt"
	"io"
	"strconv"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// Document is one JSON document:
//
//	{"format": "runicorn-grpc/export", "version": 1, "experiments": [{
//	  "experiment": {...},             as GetExperiment answers, FULL
//	  "environment": {...},            as GetEnvironment answers
//	  "source": "event_log",           or "merged_table", on Viewers of 0.5
//	  "malformed_line_count": 0, "lines_without_step_count": 0,
//	  "limitations": [...],            sentences; only if something was too large
//	  "series": [{"metric": "loss", "kind": "number",
//	              "steps": [...], "times": [...], "values": [...]}],
//	  "images": [...]                  if requested; content that several images
//	                                   share is in the first one
//	}]}
//
// A metric of several kinds is several series. In a number series NaN,
// Infinity and -Infinity are strings, and integers have all their digits, so
// that a reader with large integers (Python) gets them exactly. A time is unix
// seconds, 0 if unknown.
type Document struct {
	textFile
	needsComma bool // a run was written before
	compute    Compute
}

// Counts is what was read of a run besides its table.
type Counts struct {
	MalformedLines, LinesWithoutStep uint64
	// Limitations describe what was too large.
	Limitations []string
}

// NewDocument starts a document.
func NewDocument(out io.Writer, compute Compute) (*Document, error) {
	d := &Document{textFile: newTextFile(out), compute: compute}
	_, err := d.WriteString(`{"format":"runicorn-grpc/export","version":1,"experiments":[`)
	return d, err
}

// WriteRun adds a run. Series writes its table, which must not change meanwhile. Images
// may be nil.
func (d *Document) WriteRun(run *Run, series func(*Document) error, images []Image) error {
	if d.needsComma {
		d.write(",")
	}
	d.needsComma = true
	d.write(`{"experiment":`, orNull(run.Experiment), `,"environment":`, orNull(run.Environment))
	if err := series(d); err != nil {
		return err
	}
	if images != nil {
		d.write(`,"images":[`)
		written := firsts{}
		for i := range images {
			if i > 0 {
				d.write(",")
			}
			if err := d.writeImage(&images[i], i, written); err != nil {
				return err
			}
		}
		d.write("]")
	}
	_, err := d.WriteString("}")
	return err
}

func orNull(object []byte) string {
	if len(object) == 0 {
		return "null"
	}
	return string(object)
}

// WriteSeries adds the series of a run, one metric after the other.
func (d *Document) WriteSeries(run *Run, t *eventlog.Table, counts Counts, sel eventlog.Selection) error {
	source := "event_log"
	if run.Merged {
		source = "merged_table"
	}
	d.write(`,"source":"`, source, `","malformed_line_count":`, strconv.FormatUint(counts.MalformedLines, 10),
		`,"lines_without_step_count":`, strconv.FormatUint(counts.LinesWithoutStep, 10))
	for i, text := range counts.Limitations {
		d.write([]string{`,"limitations":[`, ","}[min(i, 1)], string(appendText(nil, text)))
	}
	if len(counts.Limitations) > 0 {
		d.write("]")
	}
	d.write(`,"series":[`)
	needsComma := false
	for _, name := range t.Names(sel) {
		one := eventlog.Selection{Names: []string{name}}
		var series []eventlog.Series
		err := d.compute.do(func() error { series = t.Series(one); return nil })
		if err != nil {
			return err
		}
		if len(series) == 0 && t.Indeterminate(name) > 0 {
			series = append(series, eventlog.Series{Name: name, Kind: eventlog.KindNumber})
		}
		for i := range series {
			if needsComma {
				d.write(",")
			}
			needsComma = true
			if err := d.writeOne(&series[i]); err != nil {
				return err
			}
		}
	}
	if _, err := d.WriteString("]"); err != nil {
		return fmt.Errorf("write series: %w", err)
	}
	return nil
}

// writeOne writes one series as columns.
func (d *Document) writeOne(s *eventlog.Series) error {
	d.write(`{"metric":`, string(appendText(nil, s.Name)), `,"kind":"`, kindNames[s.Kind], `","steps":[`)
	err := d.writeArray(s.Len(), func(b []byte, i int) []byte { return strconv.AppendInt(b, s.Steps[i], 10) })
	if err != nil {
		return err
	}
	d.write(`],"times":[`)
	err = d.writeArray(s.Len(), func(b []byte, i int) []byte { return strconv.AppendFloat(b, s.Times[i], 'f', -1, 64) })
	if err != nil {
		return err
	}
	d.write(`],"values":[`)
	c := cursor{s: s}
	err = d.writeArray(s.Len(), func(b []byte, _ int) []byte {
		cell := c.cell()
		c.next()
		return appendValue(b, &cell)
	})
	d.write("]}")
	return err
}

// writeArray writes n elements, each of which element appends.
func (d *Document) writeArray(n int, element func(b []byte, i int) []byte) error {
	return d.compute.rows(n, 1, func(i int) error {
		b := d.AvailableBuffer()
		if i > 0 {
			b = append(b, ',')
		}
		_, err := d.Write(element(b, i))
		return err
	})
}

// Close completes the document.
func (d *Document) Close() error {
	d.write("]}\n")
	return d.textFile.Close()
}
