package restclient

import (
	"fmt"
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
// that no Viewer can hold. The Viewer decodes %2f before it routes, and so do
// proxies before it: an id that only becomes dangerous by decoding is refused
// as well.
func CheckID(field, id string) error {
	refuse := func(reason string) error { return &IDError{Field: field, Reason: reason} }
	switch {
	case id == "":
		return refuse("must not be empty")
	case len(id) > maxID:
		return refuse(fmt.Sprintf("must not be longer than %d bytes", maxID))
	case !utf8.ValidString(id):
		return refuse("must be valid UTF-8")
	case strings.ContainsFunc(id, scrub.IsControl):
		return refuse("must not hold control characters")
	}
	for plain := id; ; {
		if strings.ContainsAny(plain, `/\`) {
			return refuse("must not hold a slash or a backslash")
		}
		if strings.Trim(plain, ".") == "" || strings.Contains(plain, "..") {
			return refuse("must not be or hold a path step such as \"..\"")
		}
		next := unescapeOnce(plain)
		if next == plain {
			return nil
		}
		if strings.ContainsFunc(next, scrub.IsControl) {
			return refuse("must not hold escaped control characters")
		}
		plain = next
	}
}

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

// unescapeOnce decodes the valid percent escapes of s and leaves the others,
// so that "%252f" and "100%" are both seen for what they are.
func unescapeOnce(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, okHi := unhex(s[i+1])
			lo, okLo := unhex(s[i+2])
			if okHi && okLo {
				b.WriteByte(hi<<4 | lo)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
