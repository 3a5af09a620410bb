package export

import (
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// groupRows is the number of rows of a Parquet row group. A group is held in
// memory until it is complete.
const groupRows = 8 * windowRows

// recordFile takes record batches: an Arrow stream or a Parquet file.
type recordFile interface {
	Write(arrow.RecordBatch) error
	Close() error
}

// parquetFile writes batches into row groups of groupRows.
type parquetFile struct{ *pqarrow.FileWriter }

// Write adds a batch.
func (f parquetFile) Write(batch arrow.RecordBatch) error { return f.WriteBuffered(batch) }

// onlyWriter hides what else an output can do: a Parquet writer would close it.
type onlyWriter struct{ io.Writer }

// newRecordFile begins an Arrow stream or a Parquet file.
func newRecordFile(f Format, out io.Writer, schema *arrow.Schema) (recordFile, error) {
	if f == Arrow {
		return ipc.NewWriter(out, ipc.WithSchema(schema)), nil
	}
	options := []parquet.WriterProperty{
		parquet.WithMaxRowGroupLength(groupRows), parquet.WithCompression(compress.Codecs.Snappy),
		parquet.WithDictionaryDefault(false), // doubles hardly repeat
	}
	for _, field := range schema.Fields() {
		if field.Type.ID() == arrow.STRING {
			// A path of one segment: a name may hold dots.
			options = append(options, parquet.WithDictionaryPath(parquet.ColumnPath{field.Name}, true))
		}
	}
	w, err := pqarrow.NewFileWriter(schema, onlyWriter{out}, parquet.NewWriterProperties(options...),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		return nil, fmt.Errorf("begin a Parquet file: %w", err)
	}
	return parquetFile{w}, nil
}

// types are the Arrow types of the kinds.
var types = map[eventlog.Kind]arrow.DataType{
	eventlog.KindNumber:  arrow.PrimitiveTypes.Float64,
	eventlog.KindBoolean: arrow.FixedWidthTypes.Boolean,
	eventlog.KindText:    arrow.BinaryTypes.String,
}

// identityFields are the columns before the metrics.
func identityFields(several bool) []arrow.Field {
	step := arrow.Field{Name: titleStep, Type: arrow.PrimitiveTypes.Int64}
	if !several {
		return []arrow.Field{step}
	}
	return []arrow.Field{
		{Name: titleViewer, Type: arrow.BinaryTypes.String},
		{Name: titleRun, Type: arrow.BinaryTypes.String},
		step,
	}
}

// wideRecords is a wide table as record batches, one per window.
type wideRecords struct {
	file    recordFile
	builder *array.RecordBuilder
	several bool
	columns []column
}

func newWideRecords(f Format, out io.Writer, schema *Schema) (*wideRecords, error) {
	x := &wideRecords{several: schema.several, columns: schema.columns()}
	fields := identityFields(schema.several)
	for _, c := range x.columns {
		field := arrow.Field{Name: c.title, Type: types[c.kind], Nullable: true}
		if c.exact {
			field.Type = arrow.BinaryTypes.String
		}
		fields = append(fields, field)
	}
	arrowSchema := arrow.NewSchema(fields, nil)
	x.builder = array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema)
	var err error
	x.file, err = newRecordFile(f, out, arrowSchema)
	return x, err
}

func (x *wideRecords) write(run *Run, w *window) error {
	at := appendIdentity(x.builder, x.several, run, len(w.steps))
	appendAll(x.builder.Field(at), w.steps)
	for i, c := range x.columns {
		field := x.builder.Field(at + 1 + i)
		s := w.find(c.name, c.kind)
		switch {
		case s == nil:
			field.AppendNulls(len(w.steps))
		case !c.exact && len(s.Steps) == len(w.steps) && c.kind == eventlog.KindNumber:
			appendAll(field, s.Values)
		default:
			appendColumn(field, &cursor{s: s}, w.steps, c.exact)
		}
	}
	return writeBatch(x.file, x.builder)
}

// Close completes the file.
func (x *wideRecords) Close() error {
	x.builder.Release()
	return x.file.Close()
}

// find looks up a series of the window.
func (w *window) find(name string, kind eventlog.Kind) *eventlog.Series {
	for i := range w.series {
		if w.series[i].Kind == kind && w.series[i].Name == name {
			return &w.series[i]
		}
	}
	return nil
}

// appendIdentity says of n rows whose they are, and where the next column is.
func appendIdentity(b *array.RecordBuilder, several bool, run *Run, n int) int {
	if !several {
		return 0
	}
	for range n {
		appendString(b.Field(0), run.Viewer)
		appendString(b.Field(1), run.ID)
	}
	return 2
}

// appendColumn writes the cells of a series beside steps, nulls where it has
// none.
func appendColumn(field array.Builder, c *cursor, steps []int64, exact bool) {
	for _, step := range steps {
		if !c.has(step) {
			field.AppendNull()
			continue
		}
		cell := c.cell()
		switch {
		case !exact:
			appendTyped(field, &cell)
		case cell.Exact == "":
			field.AppendNull()
		default:
			appendString(field, cell.Exact)
		}
		c.next()
	}
}

// writeBatch writes the rows of the builder, which is empty afterwards.
func writeBatch(file recordFile, b *array.RecordBuilder) error {
	batch := b.NewRecordBatch()
	defer batch.Release()
	return file.Write(batch)
}
