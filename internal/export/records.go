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

// pageBytes is the size of a page of a Parquet column before it is compressed.
// By the library's megabyte, a page and what it is compressed into would be
// made anew for every column of every group.
const pageBytes = 64 << 10

// onlyWriter hides what else an output can do: a Parquet writer would close it.
type onlyWriter struct{ io.Writer }

// newRecordFile begins an Arrow stream or a Parquet file.
func newRecordFile(f Format, out io.Writer, schema *arrow.Schema, mem memory.Allocator) (recordFile, error) {
	if f == Arrow {
		return ipc.NewWriter(out, ipc.WithSchema(schema), ipc.WithAllocator(mem)), nil
	}
	options := []parquet.WriterProperty{
		parquet.WithMaxRowGroupLength(groupRows), parquet.WithCompression(compress.Codecs.Snappy),
		parquet.WithDictionaryDefault(false), // doubles hardly repeat
		parquet.WithDataPageSize(pageBytes), parquet.WithAllocator(mem),
	}
	for _, field := range schema.Fields() {
		if field.Type.ID() == arrow.STRING {
			// A path of one segment: a name may hold dots.
			options = append(options, parquet.WithDictionaryPath(parquet.ColumnPath{field.Name}, true))
		}
	}
	w, err := pqarrow.NewFileWriter(schema, onlyWriter{out}, parquet.NewWriterProperties(options...),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema(), pqarrow.WithAllocator(mem)))
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
func identityFields(multiRun bool) []arrow.Field {
	step := arrow.Field{Name: titleStep, Type: arrow.PrimitiveTypes.Int64}
	if !multiRun {
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
	file     recordFile
	schema   *arrow.Schema
	builders []array.Builder // of the fields
	multiRun bool
	columns  []column
}

func newWideRecords(f Format, out io.Writer, schema *Schema) (*wideRecords, error) {
	x := &wideRecords{multiRun: schema.multiRun, columns: schema.columns()}
	fields := identityFields(schema.multiRun)
	for _, c := range x.columns {
		field := arrow.Field{Name: c.title, Type: types[c.kind], Nullable: true}
		if c.exact {
			field.Type = arrow.BinaryTypes.String
		}
		fields = append(fields, field)
	}
	x.schema = arrow.NewSchema(fields, nil)
	mem := &poolAllocator{}
	for _, field := range fields {
		x.builders = append(x.builders, array.NewBuilder(mem, field.Type))
	}
	var err error
	x.file, err = newRecordFile(f, out, x.schema, mem)
	return x, err
}

func (x *wideRecords) write(run *Run, w *window) error {
	columns := make([]arrow.Array, 0, len(x.builders))
	if x.multiRun {
		for range w.steps {
			appendString(x.builders[0], run.Viewer)
			appendString(x.builders[1], run.ID)
		}
		columns = append(columns, x.builders[0].NewArray(), x.builders[1].NewArray())
	}
	columns = append(columns, shared(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(w.steps), len(w.steps)))
	for _, c := range x.columns {
		columns = append(columns, x.column(w, c, x.builders[len(columns)]))
	}
	batch := array.NewRecordBatch(x.schema, columns, int64(len(w.steps)))
	for _, column := range columns {
		column.Release() // the batch holds them now
	}
	defer batch.Release()
	return x.file.Write(batch)
}

// column makes the cells of a window's column. One of nothing but numbers is
// the series' own memory.
func (x *wideRecords) column(w *window, c column, builder array.Builder) arrow.Array {
	s := w.find(c.name, c.kind)
	switch {
	case s == nil:
		builder.AppendNulls(len(w.steps))
	case !c.exact && len(s.Steps) == len(w.steps) && c.kind == eventlog.KindNumber:
		return shared(arrow.PrimitiveTypes.Float64, arrow.Float64Traits.CastToBytes(s.Values), len(s.Values))
	default:
		appendColumn(builder, &cursor{s: s}, w.steps, c.exact)
	}
	return builder.NewArray()
}

// shared is an array of n values without nulls that is not copied.
func shared(t arrow.DataType, values []byte, n int) arrow.Array {
	data := array.NewData(t, n, []*memory.Buffer{nil, memory.NewBufferBytes(values)}, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// Close completes the file.
func (x *wideRecords) Close() error {
	for _, b := range x.builders {
		b.Release()
	}
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
