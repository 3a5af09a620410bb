package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote returns text as a quoted value or key: `"name = " + Quote(s)` selects exactly the
// records with the name s, for any s. Invalid UTF-8 becomes U+FFFD.
func Quote(text string) string {
	var b strings.Builder
	b.Grow(len(text) + 2)
	b.WriteByte('"')
	for _, r := range text {
		switch r {
		case '"', '\\', '*':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// And joins filters so that all of them must match. Empty filters are left out, and a
// filter with OR gets parentheses. A filter with a syntax error is returned alone, so that
// Compile reports the error with its position in that filter: no filter can change the
// meaning of another one.
func And(filters ...string) string {
	var terms, grouped []string
	for _, text := range filters {
		n, err := parse(text)
		if err != nil {
			return text
		}
		if n == nil {
			continue
		}
		terms = append(terms, text)
		if n.kind == nodeOr {
			text = "(" + text + ")"
		}
		grouped = append(grouped, text)
	}
	if len(terms) == 1 {
		return terms[0]
	}
	return strings.Join(grouped, " AND ")
}

// quotedText parses a text in double quotes, with escapes, or in backticks, without. star
// is the offset of the first * that is not escaped, or -1.
func (l *lexer) quotedText() (text string, star int, err error) {
	start, quote := l.next, l.source[l.next]
	var b strings.Builder
	star = -1
	for l.next++; l.next < len(l.source); l.next++ {
		switch c := l.source[l.next]; {
		case c == quote:
			l.next++
			return b.String(), star, l.checkQuoteEnd()
		case c == '\\' && quote == '"':
			r, err := l.escape()
			if err != nil {
				return "", -1, err
			}
			b.WriteByte(r)
		default:
			if c == '*' && star < 0 {
				star = b.Len()
			}
			b.WriteByte(c)
		}
	}
	return "", -1, l.errorf(start, "the quoted text has no end: add a %c", quote)
}

// escape parses an escape sequence and leaves next at its last byte.
func (l *lexer) escape() (byte, error) {
	l.next++
	if l.next == len(l.source) {
		return 0, l.errorf(l.next-1, `the text ends in an escape: write \\ for a backslash`)
	}
	switch c := l.source[l.next]; c {
	case '"', '\\', '*', '\'', '`', '/':
		return c, nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	}
	return 0, l.errorf(l.next-1, `unknown escape: write \\ for a backslash; known are \" \\ \* \n \r \t`)
}

// checkQuoteEnd refuses a word or another quoted text directly after a quote.
func (l *lexer) checkQuoteEnd() error {
	if l.next == len(l.source) || l.source[l.next] == '.' {
		return nil
	}
	if l.atQuote() || l.wordRune() > 0 {
		return l.errorf(l.next, `a quote inside a quoted text is written \", and terms are separated by spaces`)
	}
	return l.checkWordEnd(l.next)
}

// ContainsFold reports whether text contains word, ignoring the case of text; word must be
// in lower case. It does not allocate.
func ContainsFold(text, word string) bool {
	if word == "" {
		return true
	}
	first, _ := utf8.DecodeRuneInString(word)
	for i, r := range text {
		if r < utf8.RuneSelf && r != first && r|0x20 != first {
			continue // fast path: neither case of an ASCII character
		}
		if lower(r) == first && hasPrefixFold(text[i:], word) {
			return true
		}
	}
	return false
}

func hasPrefixFold(text, word string) bool {
	for _, want := range word {
		r, size := utf8.DecodeRuneInString(text)
		if size == 0 || lower(r) != want {
			return false
		}
		text = text[size:]
	}
	return true
}

func lower(r rune) rune {
	if r < utf8.RuneSelf {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	return unicode.ToLower(r)
}
