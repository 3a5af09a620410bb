package eventlog

// Kind is the type of a cell. A metric may change its kind between lines; on the wire it is
// then several series of one name.
type Kind uint8

// The kinds of a cell. The zero Kind is KindNone.
const (
	KindNumber  Kind = iota + 1 // an integer or a float, NaN and ±Inf included
	KindBoolean                 // true or false
	KindText                    // a string, such as a stage name
)

// Cell is the value of one metric in one row.
type Cell struct {
	// Name is the metric's name as it was logged.
	Name string
	// Kind selects the fields below that are set.
	Kind Kind
	// Number is the value of a KindNumber cell, and 0 or 1 for KindBoolean.
	Number float64
	// Text is the value of a KindText cell.
	Text string
	// Exact is the decimal text of an integer that Number cannot hold exactly, else empty.
	Exact string
}

// Row is one line of the event file, or one row of the Viewer's merged table: a step, a
// time and cells. The event parser and the table decoder produce rows; Table merges them
// and Batch turns them into columns.
//
// A parser reuses its Row: it is valid until the callback returns or, if the callback
// fails, until parsing continues. Its strings may be kept.
type Row struct {
	// Position is the byte offset of the line in the event file, or -1 for a row of the
	// merged table.
	Position int64
	// Step is the training step; it may be negative.
	Step int64
	// Time is in Unix seconds, if HasTime.
	Time    float64
	HasTime bool
	// Cells are in the order of the line. If a name occurs twice (duplicate JSON keys), the
	// last one wins, as in Python.
	Cells []Cell
}
