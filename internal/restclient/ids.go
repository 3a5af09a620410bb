package restclient

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// maxID is the maximum length of an id in bytes. The Viewer's ids have 22.
const maxID = 512

// maxPath is the maximum length of a path in bytes.
const maxPath = 4096

// IDError is the error of a refused id. No request was sent.
type IDError struct {
	// Field is the id's name in the route: run_id, artifact, session_id.
	Field string
	// Reason completes a sentence that starts with Field, such as "must not be empty".
	Reason string
}

// Error returns the field and the reason, without the id.
func (e *IDError) Error() string { return fmt.Sprintf("%s %s", e.Field, e.Reason) }

// CheckID refuses an id that could change the URL it becomes a part of, or that no Viewer
// can have. The Viewer decodes an id once, and proxies in front of it may decode it again,
// so an id that leaves its folder when decoded is refused too.
func CheckID(field, id string) error {
	if len(id) > maxID {
		return &IDError{Field: field, Reason: fmt.Sprintf("must not be longer than %d bytes", maxID)}
	}
	if err := checkText(field, id); err != nil {
		return err
	}
	if strings.ContainsAny(id, `/\`) {
		return &IDError{Field: field, Reason: "must not contain a slash or a backslash"}
	}
	for before, plain := "", id; plain != before; before, plain = plain, unescapeOnce(plain) {
		switch {
		case strings.ContainsFunc(plain, scrub.IsControl):
			return &IDError{Field: field, Reason: "must not hold escaped control characters"}
		case dotStep.MatchString(plain):
			return &IDError{Field: field, Reason: "must not be or hold a path step such as \"..\""}
		}
	}
	return nil
}

// dotStep matches a path element of dots only.
var dotStep = regexp.MustCompile(`(?:^|[/\\])\.+(?:$|[/\\])`)

// checkPath checks a path for a query or body, where it cannot change the URL's path.
func checkPath(path string) error { return checkText("path", path) }

// checkText refuses text that no Viewer can have, but accepts slashes: it is for query
// values and bodies.
func checkText(field, text string) error {
	switch {
	case text == "":
		return &IDError{Field: field, Reason: "must not be empty"}
	case len(text) > maxPath:
		return &IDError{Field: field, Reason: fmt.Sprintf("must not be longer than %d bytes", maxPath)}
	case !utf8.ValidString(text):
		return &IDError{Field: field, Reason: "must be valid UTF-8"}
	case strings.ContainsFunc(text, scrub.IsControl):
		return &IDError{Field: field, Reason: "must not hold control characters"}
	}
	return nil
}

// checkOptional checks a value unless it is the zero value.
func checkOptional[T comparable](field string, value T, check func(string, T) error) error {
	var none T
	if value == none {
		return nil
	}
	return check(field, value)
}

// checkPort refuses a number that is not a port.
func checkPort(field string, port int) error {
	if port < 1 || port > 65535 {
		return &IDError{Field: field, Reason: "must be from 1 to 65535"}
	}
	return nil
}

// escape matches a percent escape.
var escape = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

// unescapeOnce decodes the valid percent escapes of s and leaves the rest, so that both
// "%252f" and "100%" are handled.
func unescapeOnce(s string) string {
	return escape.ReplaceAllStringFunc(s, func(e string) string {
		b, _ := hex.DecodeString(e[1:]) // the expression guarantees two hex digits
		return string(b)
	})
}
