package restclient

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxDetail is how much of the Viewer's text an error keeps, in bytes.
const maxDetail = 512

var (
	// pemBlock is a key in full, or the beginning of one that was cut.
	pemBlock = regexp.MustCompile(`(?s)-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|$)`)
	// secretPair is a named secret, as Python, JSON or a query would print it.
	secretPair = regexp.MustCompile(`(?i)([\w-]*(?:password|passphrase|passwd|private_key|secret|token|authorization)\w*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|(?:bearer |basic )?[^\s,;&}]+)`)
	// userInfo is the credentials part of a URL.
	userInfo = regexp.MustCompile(`://[^\s/@]+@`)
)

// scrub makes the Viewer's text fit to be shown: no secret (those that were
// sent are known by value), no path of its machine, valid UTF-8, one line, cut.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "<hidden>")
		}
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > 8*maxDetail {
		text = text[:8*maxDetail]
	}
	text = pemBlock.ReplaceAllString(text, "<hidden>")
	text = secretPair.ReplaceAllString(text, "${1}<hidden>")
	text = userInfo.ReplaceAllString(text, "://<hidden>@")
	text = hideServerPaths(text)
	text = strings.Join(strings.FieldsFunc(text, isControl), " ")
	if len(text) <= maxDetail {
		return text
	}
	cut := maxDetail
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
