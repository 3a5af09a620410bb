package restclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

// maxRow limits one row of a table in bytes. Nothing larger than a row is held in memory.
const maxRow = 16 << 20

// maxCells limits the cells of a row, each of which takes twenty times the memory of its
// JSON.
const maxCells = 1 << 18

// maxNames limits the memory of all column names in bytes.
const maxNames = 64 << 20

// perColumn is the memory of a column besides its name, in bytes.
const perColumn = 256

var (
	errNoStep       = errors.New("a row has no usable global_step")
	errTrailingData = errors.New("something follows the table")
	errNoRows       = errors.New("the table has no rows member")
	errManyCells    = fmt.Errorf("a row has more than %d cells: %w", maxCells, errOverLimit)
	errManyColumns  = fmt.Errorf("the names of the columns take more than %d bytes: %w", maxNames, errOverLimit)
	errRowTooLong   = fmt.Errorf("a row is longer than %d bytes: %w", maxRow, errOverLimit)
)

// sinkError passes an error of the sink through the decoder unchanged.
type sinkError struct{ err error }

func (e sinkError) Error() string { return e.err.Error() }

// column is one column of the table and what was seen of it.
type column struct {
	raw   []byte // the name as in the body, quotes included
	name  string
	nulls int
	text  string // the last text, because columns such as stage repeat it
}

// tableDecoder turns the body of metrics_step into rows while it arrives. It predicts a
// row's names from the previous row, so that it needs no map lookup or string allocation
// per cell.
type tableDecoder struct {
	dec     *jsontext.Decoder
	guard   *rowGuard
	sink    func(*eventlog.Row) error
	row     eventlog.Row
	names   []string // the columns member
	columns []column
	index   map[string]int // raw name → column
	order   []int          // columns of the previous row, in its order
	rows    int64
	last    int64
	total   int64 // -1 until the total member is read; 0.5.0 to 0.5.2 send none
	// withoutStep is the number of rows whose step does not fit an int64.
	withoutStep int64
	nulled      []int // columns that are null in the current row
	hasRows     bool
	held        int  // memory of the names in bytes
	lossy       bool // a text had invalid UTF-8
}

// rowGuard fails on a row longer than maxRow. The decoder reads ahead, so the limit is
// exact to within a buffer.
type rowGuard struct {
	r    io.Reader
	left int
}

// Read reads at most the rest that the row may have.
func (g *rowGuard) Read(p []byte) (int, error) {
	if g.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := g.r.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

func newTableDecoder(r io.Reader, sink func(*eventlog.Row) error) *tableDecoder {
	guard := &rowGuard{r: r, left: maxRow}
	return &tableDecoder{
		dec:   jsontext.NewDecoder(guard, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
		guard: guard, sink: sink, index: make(map[string]int), total: -1,
	}
}

// decode reads the whole body, to its very end.
func (t *tableDecoder) decode() error {
	if err := t.readOpen('{'); err != nil {
		return err
	}
	for t.dec.PeekKind() != '}' {
		name, err := t.dec.ReadToken()
		if err != nil {
			return err
		}
		switch name.String() {
		case "columns":
			err = t.readColumns()
		case "rows":
			err = t.readRows()
		case "total":
			err = t.readTotal()
		default:
			err = t.dec.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	if _, err := t.dec.ReadToken(); err != nil {
		return err
	}
	switch _, err := t.dec.ReadToken(); {
	case err == nil:
		return errTrailingData
	case err != io.EOF: //nolint:errorlint // the decoder returns io.EOF itself
		return fmt.Errorf("%w: %w", errTrailingData, err)
	case !t.hasRows:
		return errNoRows
	}
	return nil
}

// readOpen reads the token that opens an object or a list.
func (t *tableDecoder) readOpen(kind jsontext.Kind) error {
	token, err := t.dec.ReadToken()
	if err != nil {
		return unexpectedEnd(err)
	}
	if token.Kind() != kind {
		return fmt.Errorf("found %v instead of %v at byte %d", token.Kind(), kind, t.dec.InputOffset())
	}
	return nil
}

func (t *tableDecoder) readColumns() error {
	if err := t.readOpen('['); err != nil {
		return err
	}
	for t.dec.PeekKind() != ']' {
		token, err := t.dec.ReadToken()
		if err != nil {
			return err
		}
		if token.Kind() != '"' {
			return fmt.Errorf("a column name is %v", token.Kind())
		}
		name := token.String()
		if err := t.hold(len(name)); err != nil {
			return err
		}
		t.names = append(t.names, name)
	}
	_, err := t.dec.ReadToken()
	return err
}

func (t *tableDecoder) readTotal() error {
	raw, err := t.dec.ReadValue()
	if err != nil {
		return err
	}
	total, err := strconv.ParseUint(string(raw), 10, 63)
	if err != nil {
		return fmt.Errorf("read the total: %w", err)
	}
	t.total = int64(total) //nolint:gosec // it has at most 63 bits
	return nil
}

func (t *tableDecoder) readRows() error {
	t.hasRows = true
	if err := t.readOpen('['); err != nil {
		return err
	}
	for t.dec.PeekKind() != ']' {
		t.guard.left = maxRow
		usable, err := t.readRow()
		if err != nil {
			return err
		}
		t.rows++
		if !usable {
			t.withoutStep++
			continue
		}
		if err := t.sink(&t.row); err != nil {
			return sinkError{err}
		}
		t.last = t.row.Step
	}
	_, err := t.dec.ReadToken()
	return err
}

// readRow fills t.row, and reports whether its step fits an int64. The Viewer's steps are
// unbounded: a larger one makes the row unusable, like a line of the event file, but not
// the table.
func (t *tableDecoder) readRow() (usable bool, err error) {
	if err := t.readOpen('{'); err != nil {
		return false, err
	}
	t.nulled = t.nulled[:0]
	t.row = eventlog.Row{Position: -1, Cells: t.row.Cells[:0]}
	hasStep := false
	for i := 0; t.dec.PeekKind() != '}'; i++ {
		raw, err := t.dec.ReadValue()
		if err != nil {
			return false, err
		}
		if i == maxCells {
			return false, errManyCells
		}
		col, err := t.column(i, raw)
		if err != nil {
			return false, err
		}
		if raw, err = t.dec.ReadValue(); err != nil {
			return false, err
		}
		switch t.columns[col].name {
		case "global_step":
			hasStep = raw.Kind() == '0'
			t.row.Step, usable = stepOf(raw)
		case "time":
			if raw.Kind() == '0' {
				t.row.Time, t.row.HasTime = floatOf(raw), true
			}
		default:
			t.addCell(col, raw)
		}
	}
	if !hasStep {
		return false, fmt.Errorf("%w at byte %d", errNoStep, t.dec.InputOffset())
	}
	if usable {
		for _, col := range t.nulled {
			t.columns[col].nulls++
		}
	}
	_, err = t.dec.ReadToken()
	return usable, err
}

// hold counts the memory of a column name.
func (t *tableDecoder) hold(name int) error {
	if t.held += name + perColumn; t.held > maxNames {
		return errManyColumns
	}
	return nil
}

// column returns the column of a raw name at an index of the row.
func (t *tableDecoder) column(i int, raw []byte) (int, error) {
	if i < len(t.order) {
		if guess := t.order[i]; bytes.Equal(t.columns[guess].raw, raw) {
			return guess, nil
		}
	}
	col, ok := t.index[string(raw)]
	if !ok {
		name, err := t.unquote(raw)
		if err != nil {
			return 0, err
		}
		if err := t.hold(len(raw)); err != nil {
			return 0, err
		}
		col = len(t.columns)
		own := bytes.Clone(raw)
		t.columns = append(t.columns, column{raw: own, name: name})
		t.index[string(own)] = col
	}
	if i < len(t.order) {
		t.order[i] = col
	} else {
		t.order = append(t.order, col)
	}
	return col, nil
}

// addCell adds a cell. Lists and objects are skipped: the Viewer drops them, as does the
// event log's reader.
func (t *tableDecoder) addCell(col int, raw jsontext.Value) {
	c := &t.columns[col]
	cell := eventlog.Cell{Name: c.name}
	switch raw.Kind() {
	case 'n':
		t.nulled = append(t.nulled, col)
		return
	case '0':
		cell.Kind, cell.Number = eventlog.KindNumber, floatOf(raw)
		cell.Exact = exactOf(raw, cell.Number)
	case 't':
		cell.Kind, cell.Number = eventlog.KindBoolean, 1
	case 'f':
		cell.Kind = eventlog.KindBoolean
	case '"':
		if plain := raw[1 : len(raw)-1]; string(plain) != c.text || bytes.IndexByte(plain, '\\') >= 0 {
			text, err := t.unquote(raw)
			if err != nil {
				return // the decoder has already validated the string
			}
			c.text = text
		}
		cell.Kind, cell.Text = eventlog.KindText, c.text
	default:
		return
	}
	t.row.Cells = append(t.row.Cells, cell)
}

// stepOf parses a step, which the Viewer has converted to an int.
func stepOf(raw jsontext.Value) (int64, bool) {
	if raw.Kind() != '0' {
		return 0, false
	}
	if step, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return step, true
	}
	f := floatOf(raw)
	return int64(f), math.Abs(f) < 1<<63
}

// floatOf parses a number; out of range is ±Inf, as in Python.
func floatOf(raw []byte) float64 {
	f, _ := strconv.ParseFloat(string(raw), 64)
	return f
}

// exactOf returns the decimal text of an integer that f cannot represent.
func exactOf(raw []byte, f float64) string {
	const always = 15 // digits that a double always represents exactly
	if len(raw) <= always || !viewerjson.IsInteger(raw) {
		return ""
	}
	if strconv.FormatFloat(f, 'f', 0, 64) == string(raw) {
		return ""
	}
	return string(raw)
}

// unquote reads a JSON string, and records whether it had invalid UTF-8.
func (t *tableDecoder) unquote(raw []byte) (string, error) {
	t.lossy = t.lossy || !utf8.Valid(raw)
	return viewerjson.Unquote(raw)
}

func unexpectedEnd(err error) error {
	if err == io.EOF { //nolint:errorlint // the decoder returns io.EOF itself
		return io.ErrUnexpectedEOF
	}
	return err
}
