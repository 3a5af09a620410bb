package eventlog

// Kind says what a metric's cell holds. A metric may change its kind from one
// line to the next; on the wire it is then several series of one name.
type Kind uint8

// The kinds of a cell. The zero Kind is no cell at all.
const (
	KindNumber  Kind = iota + 1 // an integer or a float, NaN and ±Inf included
	KindBoolean                 // true or false
	KindText                    // a string, such as a stage name
)

// Cell is the value of one metric at one place.
type Cell struct {
	// Name is the metric's name as it was logged.
	Name string
	// Kind says which of the fields below counts.
	Kind Kind
	// Number is the value of a KindNumber cell, and 0 or 1 for KindBoolean.
	Number float64
	// Text is the value of a KindText cell.
	Text string
	// Exact is the decimal text of an integer that Number rounds, and empty
	// where Number is the value itself.
	Exact string
}

// Row is what one line of the event file, or one row of the Viewer's merged
// table, says: a step, a time and cells. It is the one vocabulary of points:
// the event parser and the table decoder both speak it, Table merges it and
// Batch columnarises it.
//
// A reader reuses its Row: it is valid only until the callback returns, and if that is
// with an error, until more is read.
// Strings in it may be kept.
type Row struct {
	// Position is the byte offset of the line in the event file, and -1 for
	// a row of the merged table, which has no position.
	Position int64
	// Step is the training step, negative ones included.
	Step int64
	// Time is unix seconds; it counts only if HasTime.
	Time    float64
	HasTime bool
	// Cells are in the order of the line. A name may come twice (duplicate
	// JSON keys); the last one counts, as in Python.
	Cells []Cell
}
