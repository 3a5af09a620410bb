package filter

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// ErrLimit is the cause of an Error about a text that exceeds a limit.
var ErrLimit = errors.New("limit exceeded")

// Error is a mistake in a filter or in an order.
type Error struct {
	// Position is the 1-based character at which the mistake begins, 0 for the whole text.
	Position int
	// Message says what is wrong and what would be correct.
	Message string
	cause   error
}

// Error returns the position and the message.
func (e *Error) Error() string {
	if e.Position == 0 {
		return e.Message
	}
	return fmt.Sprintf("at character %d: %s", e.Position, e.Message)
}

// Unwrap returns ErrLimit or nil.
func (e *Error) Unwrap() error { return e.cause }

// source is the text of a filter or order, for errors with positions.
type source string

// errorf returns an Error at a byte offset.
func (s source) errorf(at int, format string, args ...any) error {
	return &Error{Position: s.position(at), Message: fmt.Sprintf(format, args...)}
}

// limitf returns an Error that wraps ErrLimit.
func (s source) limitf(at int, format string, args ...any) error {
	return &Error{Position: s.position(at), Message: fmt.Sprintf(format, args...), cause: ErrLimit}
}

// position converts a byte offset to a 1-based character.
func (s source) position(at int) int { return utf8.RuneCountInString(string(s[:at])) + 1 }

// check refuses texts that are too long or not UTF-8.
func (s source) check(what string) error {
	if len(s) > MaxBytes {
		return &Error{Message: fmt.Sprintf("%s of %d bytes is too long: at most %d are allowed", what, len(s), MaxBytes), cause: ErrLimit}
	}
	if utf8.ValidString(string(s)) {
		return nil
	}
	for i := 0; ; {
		r, size := utf8.DecodeRuneInString(string(s[i:]))
		if r == utf8.RuneError && size == 1 {
			return s.errorf(i, "%s is not valid UTF-8", what)
		}
		i += size
	}
}

// maxQuoted is the number of characters of the user's text that an error quotes.
const maxQuoted = 24

// quoted returns the beginning of a text in quotes, for messages.
func quoted(text string) string {
	n := 0
	for i := range text {
		if n == maxQuoted {
			return strconv.Quote(text[:i] + "…")
		}
		n++
	}
	return strconv.Quote(text)
}
