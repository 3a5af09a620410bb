package export

import (
	"iter"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// Compute does one piece of computing. The writers of this package call it for all
// that takes long, piece by piece and never within another one, so that its owner can
// bound how many files are computed at once. A piece writes to the file but waits for
// nothing else; images are read between the pieces. A nil Compute just does the work.
type Compute func(work func() error) error

// pieceCells is about how many cells are one piece: a few milliseconds.
const pieceCells = 32 << 10

func (c Compute) do(work func() error) error {
	if c == nil {
		return work()
	}
	return c(work)
}

// rows calls row for n rows of so many cells.
func (c Compute) rows(n, cells int, row func(i int) error) error {
	size := max(1, pieceCells/max(1, cells))
	for from := 0; from < n; from += size {
		err := c.do(func() error {
			for i := from; i < min(n, from+size); i++ {
				if err := row(i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// windows reads the windows of a table, a piece for each, and gives them to use
// between the pieces.
func (c Compute) windows(t *eventlog.Table, sel eventlog.Selection, rows int, use func(*window) error) error {
	next, stop := iter.Pull(windows(t, sel, rows))
	defer stop()
	for {
		var w *window
		var more bool
		err := c.do(func() error { w, more = next(); return nil })
		if err != nil || !more {
			return err
		}
		if err := use(w); err != nil {
			return err
		}
	}
}
