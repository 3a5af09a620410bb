// Package panics turns panics into errors that are safe to log. A panic value may hold a
// request with its passwords, so only its type is reported. The stack, which has no values,
// tells where it happened.
package panics

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Error returns an error for a value from recover. Only runtime errors, such as an index
// out of range, keep their text: they consist of types and numbers.
func Error(value any) error {
	if captured, ok := value.(*CapturedError); ok {
		return captured
	}
	if err, ok := value.(runtime.Error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic with a value of type %T", value)
}

// CapturedError is a panic to be repeated in another goroutine, with the stack where it
// happened.
type CapturedError struct {
	err   error
	stack []byte
}

// Capture captures a value from recover. Call it in the goroutine that panicked; the other
// goroutine panics with the result.
func Capture(value any) *CapturedError {
	return &CapturedError{err: Error(value), stack: debug.Stack()}
}

// Error returns the error and the stack, without the panic value.
func (e *CapturedError) Error() string { return fmt.Sprintf("%v, at\n%s", e.err, e.stack) }
