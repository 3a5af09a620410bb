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

// grow reserves bytes of the budget, or returns an error.
func (h *Buffer) grow(bytes int64) error {
	if b := h.budget; b.used.Add(bytes) > b.max {
		b.used.Add(-bytes)
		return apierr.OverLimit("--stream-bytes", "histories that are merged or downsampled exceed the %d MiB that this server reserves for them; "+
			"select fewer metrics or steps, or read the history as it was logged", b.max>>20)
	}
	h.reserved += bytes
	return nil
}

// ReleaseAll returns to the budget what the buffer has reserved.
func (h *Buffer) ReleaseAll() {
	h.budget.used.Add(-h.reserved)
	h.reserved = 0
}
