package scrub

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Paths on the Viewer's machine reveal user names and its setup, so they are hidden from
// clients that do not need them. This file alone defines what such a path is.

// hiddenPath replaces a path within a text.
const hiddenPath = "<path>"

// pathEnds are the characters, besides white space, that end a path within a text.
const pathEnds = "\"'`)],;<>{}|"

// maxPrefix is how many bytes decide whether a path begins.
const maxPrefix = 128

var (
	// absolutePrefix matches the start of a path that a Viewer treats as absolute: POSIX, a
	// home directory, a Windows drive, a UNC share.
	absolutePrefix = regexp.MustCompile(`^(?:/|~/|[A-Za-z]:[\\/]|\\\\)`)
	// otherPrefix matches other notations: a file URL, a named user's home directory or one
	// on Windows, the root of the current Windows drive.
	otherPrefix = regexp.MustCompile(`^(?:(?i:file):[\\/]|~$|~(?:[A-Za-z_][\w.-]*)?[\\/]|\\[^\s\\/]+\\)`)
	// innerPrefix matches the start of a path within a text, where a lone slash, or a
	// backslash before a letter, means something else. Slashes may be escaped as in JSON.
	innerPrefix = regexp.MustCompile("^(?:(?i:file):[\\\\/]|[A-Za-z]:[\\\\/]|\\\\\\\\+[^\\s\\\\]|~(?:[A-Za-z_][\\w.-]*)?\\\\?/[^\\s/]|~\\\\|" +
		"\\\\?/+[^\\s/\"'`)\\],;<>{}|])")
)

// IsAbsolute reports whether a Viewer treats text as an absolute path.
func IsAbsolute(text string) bool { return absolutePrefix.MatchString(text) }

// IsServerPath reports whether text is a path on the Viewer's machine: an absolute POSIX or
// Windows path, one in a home directory, or a file URL.
func IsServerPath(text string) bool {
	text = strings.TrimSpace(text)
	return absolutePrefix.MatchString(text) || otherPrefix.MatchString(text)
}

// Paths replaces paths on the Viewer's machine within a text.
func Paths(text string) string {
	var out strings.Builder
	shown := 0 // bytes of text copied to out
	for i := 0; i < len(text); {
		if !beginsPath(text, i) {
			_, size := utf8.DecodeRuneInString(text[i:])
			i += size
			continue
		}
		out.WriteString(text[shown:i] + hiddenPath)
		i += pathLength(text[i:])
		shown = i
	}
	if shown == 0 {
		return text
	}
	return out.String() + text[shown:]
}

// beginsPath reports whether a path begins at i and is not the rest of a longer word.
func beginsPath(text string, i int) bool {
	if isDrive := i+1 < len(text) && text[i+1] == ':'; !isDrive && !strings.ContainsRune(`/\~fF`, rune(text[i])) {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	switch {
	case i > 0 && (unicode.IsLetter(before) || unicode.IsDigit(before) || strings.ContainsRune(`_.-/\~)]}%$*#`, before)):
		return false
	case before == ':' && strings.HasPrefix(text[i:], "//") && i > 1 && isSchemeEnd(text[i-2]):
		return false // the // of a URL
	}
	return innerPrefix.MatchString(text[i:min(i+maxPrefix, len(text))])
}

// isSchemeEnd reports whether c may be the last byte of a URL scheme.
func isSchemeEnd(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// pathLength returns the length in bytes of the path at the start of text.
func pathLength(text string) int {
	end := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(pathEnds, r) })
	if end < 0 {
		return len(text)
	}
	if text[end] == '"' {
		// An odd backslash escapes the quote and is not part of the path.
		backslashes := end - len(strings.TrimRight(text[:end], `\`))
		end -= backslashes % 2
	}
	return end
}
