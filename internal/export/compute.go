package export

import (
	"iter"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// Compute runs one step of computing. The writers of this package call it for everything
// that takes long, in steps and never nested, so that its owner can limit how many files
// are computed at the same time. A step writes to the file but waits for nothing else;
// images are read between steps. A nil Compute runs the step directly.
type Compute func(work func() error) error

// stepCells is about how many cells are written in one step, which takes a few
// milliseconds.
const stepCells = 32 << 10

func (c Compute) do(work func() error) error {
	if c == nil {
		return work()
	}
	return c(work)
}

// rows calls row for n rows of cells cells each.
func (c Compute) rows(n, cells int, row func(i int) error) error {
	size := max(1, stepCells/max(1, cells))
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

// windows reads each window of a table in a step, and calls use between the steps.
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
