// Package scrub makes text from a Viewer or its users safe to show: without secrets,
// without paths of the Viewer's machine, on one line and of bounded length.
package scrub

import (
	"regexp"
	"strings"
	"unicode"
)

// maxText is the maximum length of a scrubbed text in bytes.
const maxText = 512

var (
	// pemBlock matches a PEM block, or the beginning of a truncated one.
	pemBlock = regexp.MustCompile(`(?s)-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|$)`)
	// secretPair matches a named secret as Python, JSON or a query string prints it.
	secretPair = regexp.MustCompile(`(?i)([\w-]*(?:password|passphrase|passwd|private_key|secret|token|authorization)\w*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|(?:bearer |basic )?[^\s,;&}]+)`)
	// userInfo matches the credentials part of a URL.
	userInfo = regexp.MustCompile(`://[^\s/@]+@`)
)

// Text scrubs a text. secrets are the values sent to the Viewer, which are hidden wherever
// they occur.
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
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// Credentials hides the user and the password within URLs.
func Credentials(text string) string { return userInfo.ReplaceAllString(text, "://<hidden>@") }

// IsControl reports whether r is a C0 or C1 control, or a separator or mark that reorders
// or hides text in logs.
func IsControl(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}
