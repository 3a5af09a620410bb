package restclient

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// maxID is the longest id in bytes. The Viewer's own have 22.
const maxID = 512

// maxPath is the longest path in bytes.
const maxPath = 4096

// IDError says why an id was refused. Nothing was sent upstream.
type IDError struct {
	// Field names the id as the route does: run_id, artifact, session_id.
	Field string
	// Reason completes "Field ...", such as "must not be empty".
	Reason string
}

// Error returns the field and the reason, and never the id itself.
func (e *IDError) Error() string { return fmt.Sprintf("%s %s", e.Field, e.Reason) }

// CheckID refuses an id that could change the URL it becomes a part of, or
// that no Viewer can hold. All others are served, if the Viewer has them.
// The Viewer decodes an id once, and proxies before it may do so again: an id
// that leaves its folder by decoding is refused as well.
func CheckID(field, id string) error {
	if len(id) > maxID {
		return &IDError{Field: field, Reason: fmt.Sprintf("must not be longer than %d bytes", maxID)}
	}
	if err := checkText(field, id); err != nil {
		return err
	}
	if strings.ContainsAny(id, `/\`) {
		return &IDError{Field: field, Reason: "must not hold a slash or a backslash"}
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

// dotStep is a path step that is no name.
var dotStep = regexp.MustCompile(`(?:^|[/\\])\.+(?:$|[/\\])`)

// checkPath checks a path of a query or body, which cannot change where a
// request goes.
func checkPath(path string) error { return checkText("path", path) }

// checkText refuses text that no Viewer can hold but lets slashes pass: it is
// for query values and bodies.
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

// checkOptional checks a value unless it is left out.
func checkOptional[T comparable](field string, value T, check func(string, T) error) error {
	var none T
	if value == none {
		return nil
	}
	return check(field, value)
}

// checkPort refuses a number that is no port.
func checkPort(field string, port int) error {
	if port < 1 || port > 65535 {
		return &IDError{Field: field, Reason: "must be from 1 to 65535"}
	}
	return nil
}

// escape is a percent escape.
var escape = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

// unescapeOnce decodes the valid percent escapes of s and leaves the others,
// so that "%252f" and "100%" are both seen for what they are.
func unescapeOnce(s string) string {
	return escape.ReplaceAllStringFunc(s, func(e string) string {
		b, _ := hex.DecodeString(e[1:]) // two digits, as the expression says
		return string(b)
	})
}
