package points

import (
	"cmp"
	"sync/atomic"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// defaultStreamBytes is the default of NewBudget.
const defaultStreamBytes = 256 << 20

// Budget limits the memory for histories that streams must hold as a whole before they
// can send them, over all streams of the process. It is safe for concurrent use.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget returns a budget in bytes; 256 MiB if 0.
func NewBudget(bytes int64) *Budget { return &Budget{max: cmp.Or(bytes, defaultStreamBytes)} }

// reserve reserves bytes, or returns an error. The caller must release them.
func (b *Budget) reserve(bytes int64) error {
	if b.used.Add(bytes) <= b.max {
		return nil
	}
	b.used.Add(-bytes)
	return apierr.OverLimit("--stream-bytes", "histories that are merged or downsampled exceed the %d MiB that this server reserves for them; "+
		"select fewer metrics or steps, or read the history as it was logged", b.max>>20)
}

func (b *Budget) release(bytes int64) { b.used.Add(-bytes) }

// reservation is what one stream has reserved of a budget.
type reservation struct {
	*Budget
	bytes int64
}

func (r *reservation) grow(bytes int64) error {
	if err := r.reserve(bytes); err != nil {
		return err
	}
	r.bytes += bytes
	return nil
}

func (r *reservation) ReleaseAll() {
	r.release(r.bytes)
	r.bytes = 0
}
