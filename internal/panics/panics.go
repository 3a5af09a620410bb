// Package panics says what may be told of a panic: what kind of value it had,
// and never the value. Code that panics may do so with a request in hand, and a
// request may hold passwords. Where it was, the stack tells, which has no values.
//
// It knows nothing of who recovers, and of the other packages.
package panics

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Error makes an error of what recover returned. Only the errors of the runtime
// itself, such as an index out of range, are told in their own words: these are
// made of types and numbers.
func Error(value any) error {
	if captured, ok := value.(*CapturedError); ok {
		return captured
	}
	if err, ok := value.(runtime.Error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic with a value of type %T", value)
}

// CapturedError is a panic that continues in another goroutine than the one it came up in,
// and remembers where that was.
type CapturedError struct {
	err   error
	stack []byte
}

// Capture makes one of what recover returned, in the goroutine that panicked. The
// other one panics with it.
func Capture(value any) *CapturedError {
	return &CapturedError{err: Error(value), stack: debug.Stack()}
}

// Error has nothing of the value either.
func (e *CapturedError) Error() string { return fmt.Sprintf("%v, at\n%s", e.err, e.stack) }
