package export

import (
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go"
)

var errTooManyColumns = errors.New("too many columns for a Parquet file")

// scratchValues is how many values are encoded together.
const scratchValues = 2048

// groupRows is the number of rows of a Parquet row group. A group is held in
// memory until it is complete, compressed.
const groupRows = 8 * windowRows

// maxGroupCells is the maximum number of cells of a row group. Groups of wide tables have
// fewer rows because of it.
const maxGroupCells = 8 << 20

const (
	// pageBytes is the size of a page of a Parquet column before it is compressed.
	pageBytes = 64 << 10
	// dictionaryBytes is the maximum size of a dictionary of texts. Beyond it, the texts
	// of the group are written directly.
	dictionaryBytes = 1 << 20
)

// parquetFile writes batches into row groups of groupRows.
type parquetFile struct {
	out       *parquet.GenericWriter[any]
	nullable  []bool // by column
	groupRows int    // rows of a full group
	groupLen  int    // rows of the current group
	values    []parquet.Value
}

// newParquetFile starts a Parquet file.
func newParquetFile(out io.Writer, schema *arrow.Schema) (*parquetFile, error) {
	fields := schema.Fields()
	if len(fields) > parquet.MaxColumnIndex {
		return nil, fmt.Errorf("%w: %d, at most %d", errTooManyColumns, len(fields), parquet.MaxColumnIndex)
	}
	x := &parquetFile{groupRows: max(1, min(groupRows, maxGroupCells/len(fields)))}
	root := &orderedGroup{}
	for _, f := range fields {
		x.nullable = append(x.nullable, f.Nullable)
		root.fields = append(root.fields, &parquetField{Node: parquetNode(f), name: f.Name})
	}
	config, err := parquet.NewWriterConfig(
		parquet.NewSchema("schema", root), parquet.Compression(&parquet.Snappy), parquet.DataPageVersion(1),
		parquet.PageBufferSize(pageBytes), parquet.WriteBufferSize(bufferSize), parquet.DictionaryMaxBytes(dictionaryBytes),
	)
	if err != nil {
		return nil, fmt.Errorf("configure a Parquet file: %w", err)
	}
	x.out = parquet.NewGenericWriter[any](out, config)
	return x, nil
}

// orderedGroup is a group whose columns keep their order; a parquet.Group sorts them.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

// Fields are the columns.
func (g *orderedGroup) Fields() []parquet.Field { return g.fields }

// parquetField is a column of an orderedGroup.
type parquetField struct {
	parquet.Node
	name string
}

// Name is the name of the column.
func (f *parquetField) Name() string { return f.name }

// Value is used only for rows that are Go structs.
func (f *parquetField) Value(reflect.Value) reflect.Value {
	panic("a column is written without structs")
}

// parquetNode returns the type of a column. Texts get a dictionary, as they repeat;
// doubles rarely do.
func parquetNode(f arrow.Field) parquet.Node {
	var node parquet.Node
	switch f.Type.ID() { //nolint:exhaustive // columns have no other types
	case arrow.INT64:
		node = parquet.Leaf(parquet.Int64Type)
	case arrow.FLOAT64:
		node = parquet.Leaf(parquet.DoubleType)
	case arrow.BOOL:
		node = parquet.Leaf(parquet.BooleanType)
	default:
		node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	}
	if f.Nullable {
		return parquet.Optional(node)
	}
	return parquet.Required(node)
}

// Write adds a batch.
func (x *parquetFile) Write(batch arrow.RecordBatch) error {
	for from, rows := 0, int(batch.NumRows()); from < rows; {
		to := min(rows, from+x.groupRows-x.groupLen)
		for i, column := range x.out.ColumnWriters() {
			if err := x.writeColumn(column, i, batch.Column(i), from, to); err != nil {
				return err
			}
		}
		x.groupLen += to - from
		from = to
		if x.groupLen < x.groupRows {
			continue
		}
		if err := x.out.Flush(); err != nil {
			return fmt.Errorf("write a Parquet row group: %w", err)
		}
		x.groupLen = 0
	}
	return nil
}

// writeColumn adds a part of a column to the current group.
func (x *parquetFile) writeColumn(column *parquet.ColumnWriter, index int, cells arrow.Array, from, to int) error {
	level := 0
	if x.nullable[index] {
		level = 1
	}
	for from < to {
		end := min(to, from+scratchValues)
		x.values = x.values[:0]
		for i := from; i < end; i++ {
			if cells.IsNull(i) {
				x.values = append(x.values, parquet.NullValue().Level(0, 0, index))
			} else {
				x.values = append(x.values, parquetValue(cells, i).Level(0, level, index))
			}
		}
		if _, err := column.WriteRowValues(x.values); err != nil {
			return fmt.Errorf("write a Parquet column: %w", err)
		}
		from = end
	}
	return nil
}

// parquetValue returns the value of a cell.
func parquetValue(cells arrow.Array, i int) parquet.Value {
	switch c := cells.(type) {
	case *array.Int64:
		return parquet.Int64Value(c.Value(i))
	case *array.Float64:
		return parquet.DoubleValue(c.Value(i))
	case *array.Boolean:
		return parquet.BooleanValue(c.Value(i))
	case *array.String:
		return parquet.ByteArrayValue(c.ValueBytes()[c.ValueOffset(i)-c.ValueOffset(0):][:c.ValueLen(i)])
	}
	return parquet.NullValue()
}

// Close completes the file.
func (x *parquetFile) Close() error { return x.out.Close() }
