package convert

import (
	"strings"
)

// AbsolutePath reports whether a text is an absolute path of either system.
func AbsolutePath(text string) bool {
	if len(text) > 2 && text[1] == ':' && (text[2] == '\\' || text[2] == '/') {
		return true
	}
	return strings.HasPrefix(text, "/") || strings.HasPrefix(text, `\\`) || strings.HasPrefix(text, "~/")
}
