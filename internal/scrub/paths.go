package scrub

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Paths of the Viewer's machine tell the names of its users and how it is built,
// so they are shown to nobody who need not know them. This file is the one place
// that says what such a path is.

// hiddenPath stands for a path of the Viewer's machine within a text.
const hiddenPath = "<path>"

// pathEnds are the signs that end a path within a text, besides white space.
const pathEnds = "\"'`)],;<>{}|"

// maxPrefix is how much of a text is looked at to tell that a path begins.
const maxPrefix = 128

var (
	// absolutePrefix begins an absolute path as a Viewer takes it: POSIX, a home,
	// a Windows drive, a UNC share.
	absolutePrefix = regexp.MustCompile(`^(?:/|~/|[A-Za-z]:[\\/]|\\\\)`)
	// otherPrefix begins what says the same in another notation: a file URL, the
	// home of a named user or on Windows, the root of the current Windows drive.
	otherPrefix = regexp.MustCompile(`^(?:(?i:file):[\\/]|~$|~(?:[A-Za-z_][\w.-]*)?[\\/]|\\[^\s\\/]+\\)`)
	// innerPrefix begins a path within a text, where a lone slash, or a backslash
	// before a letter, has other meanings. Slashes may be escaped as in JSON.
	innerPrefix = regexp.MustCompile("^(?:(?i:file):[\\\\/]|[A-Za-z]:[\\\\/]|\\\\\\\\+[^\\s\\\\]|~(?:[A-Za-z_][\\w.-]*)?\\\\?/[^\\s/]|~\\\\|" +
		"\\\\?/+[^\\s/\"'`)\\],;<>{}|])")
)

// IsAbsolute reports whether a Viewer takes a text for an absolute path.
func IsAbsolute(text string) bool { return absolutePrefix.MatchString(text) }

// IsServerPath reports whether a text is a path of the Viewer's machine: an
// absolute one of either system, one in a home, or a file URL.
func IsServerPath(text string) bool {
	text = strings.TrimSpace(text)
	return absolutePrefix.MatchString(text) || otherPrefix.MatchString(text)
}

// Paths replaces the paths of the Viewer's machine within a text.
func Paths(text string) string {
	var out strings.Builder
	shown := 0 // what is before has been copied
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

// beginsPath reports whether a path begins at i: its sign is there, and what is
// before it is not a part of the same word.
func beginsPath(text string, i int) bool {
	if isDrive := i+1 < len(text) && text[i+1] == ':'; !isDrive && !strings.ContainsRune(`/\~fF`, rune(text[i])) {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	switch {
	case i > 0 && (unicode.IsLetter(before) || unicode.IsDigit(before) || strings.ContainsRune(`_.-/\~)]}%$*#`, before)):
		return false
	case before == ':' && strings.HasPrefix(text[i:], "//") && i > 1 && isSchemeEnd(text[i-2]):
		return false // of a URL
	}
	return innerPrefix.MatchString(text[i:min(i+maxPrefix, len(text))])
}

// isSchemeEnd reports whether the scheme of a URL can end so.
func isSchemeEnd(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// pathLength is how much of a text belongs to the path that it begins with.
func pathLength(text string) int {
	end := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(pathEnds, r) })
	if end < 0 {
		return len(text)
	}
	if text[end] == '"' {
		// An odd backslash escapes the quote, and is no part of the path.
		backslashes := end - len(strings.TrimRight(text[:end], `\`))
		end -= backslashes % 2
	}
	return end
}
