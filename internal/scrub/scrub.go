// Package scrub makes the text of a Viewer, or of its users, fit to be shown: without
// secrets, without paths of its machine, on one line and of bounded length.
package scrub

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is how much of a text is kept, in bytes.
const maxText = 512

var (
	// pemBlock is a key in full, or the beginning of one that was cut.
	pemBlock = regexp.MustCompile(`(?s)-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|$)`)
	// secretPair is a named secret, as Python, JSON or a query would print it.
	secretPair = regexp.MustCompile(`(?i)([\w-]*(?:password|passphrase|passwd|private_key|secret|token|authorization)\w*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|(?:bearer |basic )?[^\s,;&}]+)`)
	// userInfo is the credentials part of a URL.
	userInfo = regexp.MustCompile(`://[^\s/@]+@`)
)

// Text makes the Viewer's text fit to be shown: no secret (those that were
// sent are known by value), no path of its machine, valid UTF-8, one line, cut.
func Text(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "<hidden>")
		}
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > 8*maxText {
		text = text[:8*maxText]
	}
	text = pemBlock.ReplaceAllString(text, "<hidden>")
	text = secretPair.ReplaceAllString(text, "${1}<hidden>")
	text = Paths(Credentials(text))
	text = strings.Join(strings.FieldsFunc(text, IsControl), " ")
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// Credentials hides the user and password within URLs.
func Credentials(text string) string { return userInfo.ReplaceAllString(text, "://<hidden>@") }

// IsControl covers the C0 and C1 controls, and the separators and marks that
// reorder or hide text in logs.
func IsControl(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}
