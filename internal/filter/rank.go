package filter

import "cmp"

// Order compares two values for sorting. Missing values and NaN come last in both
// directions; values of different kinds are ordered by kind.
func (v Value) Order(w Value, desc bool) int {
	if v.isUnordered() || w.isUnordered() {
		return cmp.Compare(sortClass(v), sortClass(w))
	}
	order, comparable := v.Compare(w)
	if !comparable {
		order = cmp.Compare(sortClass(v), sortClass(w))
	}
	if desc {
		return -order
	}
	return order
}

// Truncate truncates a text to n bytes; other values are unchanged.
func (v Value) Truncate(n int) Value {
	v.text = v.text[:min(n, len(v.text))]
	return v
}

// Int returns an integer value.
func (v Value) Int() (int64, bool) { return int64(v.bits), v.kind == kindInteger } //nolint:gosec // the bits of an int64

// TextLen returns the length of a text in bytes, 0 for other values.
func (v Value) TextLen() int { return len(v.text) }
