package eventlog

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the maximum nesting of values in a line. Deeper lines are malformed; the
// Viewer fails at Python's recursion limit of about 1000.
const maxDepth = 10_000

// skipSpace returns the first index from i on that is not JSON white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// skipBlanks is skipSpace for the ends of a line, where the Viewer strips everything that
// Python considers white space.
func skipBlanks(b []byte, i int) int {
	for i < len(b) {
		r, size := utf8.DecodeRune(b[i:])
		if !isBlankRune(r) {
			break
		}
		i += size
	}
	return i
}

func isBlank(b []byte) bool { return skipBlanks(b, 0) == len(b) }

// isBlankRune is Python's str.isspace.
func isBlankRune(r rune) bool {
	return unicode.IsSpace(r) || '\x1c' <= r && r <= '\x1f'
}

// enter returns the index after an opening bracket. If more, the first element is there;
// otherwise it is after the closing bracket.
func enter(b []byte, i int, closing byte) (_ int, more bool) {
	i = skipSpace(b, i)
	if i < len(b) && b[i] == closing {
		return i + 1, false
	}
	return i, true
}

// next returns the index after an element. If more, another element is there; otherwise it
// is after the closing bracket, or -1.
func next(b []byte, i int, closing byte) (_ int, more bool) {
	i = skipSpace(b, i)
	switch {
	case i == len(b):
		return -1, false
	case b[i] == ',':
		return skipSpace(b, i+1), true
	case b[i] == closing:
		return i + 1, false
	default:
		return -1, false
	}
}

// scanWord returns the index after the word at i.
func scanWord(b []byte, i int, word string) int {
	if !bytes.HasPrefix(b[i:], []byte(word)) {
		return -1
	}
	return i + len(word)
}

// scanKey returns the index after the key at i and its colon.
func scanKey(b []byte, i int) int {
	i, _ = scanString(b, i)
	if i < 0 {
		return -1
	}
	if i = skipSpace(b, i); i == len(b) || b[i] != ':' {
		return -1
	}
	return i + 1
}

// scanString returns the index after the string at i. The string is plain if its bytes are
// its text: ASCII without escapes.
func scanString(b []byte, i int) (end int, plain bool) {
	if i == len(b) || b[i] != '"' {
		return -1, false
	}
	plain = true
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, plain
		case c == '\\':
			plain = false
			size := escapeSize(b[i+1:])
			if size == 0 {
				return -1, false
			}
			i += size
		case c < ' ':
			return -1, false
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	return -1, false
}

// escapeSize returns the length of an escape sequence without its backslash, which precedes
// b; 0 if it is invalid.
func escapeSize(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		const digits = 4
		if len(b) <= digits {
			return 0
		}
		for _, c := range b[1 : 1+digits] {
			hex := '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
			if !hex {
				return 0
			}
		}
		return 1 + digits
	default:
		return 0
	}
}

// unquote decodes a string that scanString has accepted. Invalid UTF-8 and lone surrogates
// become U+FFFD.
func unquote(quoted []byte) []byte {
	text, _ := jsontext.AppendUnquote(nil, quoted) // the error only reports that bytes were replaced
	return text
}

// skip returns the index after the value at i, of any type, and validates it. It keeps the
// open brackets in p.stack instead of recursing.
func (p *Parser) skip(b []byte, i int) int {
	p.stack = p.stack[:0]
	for {
		var more bool
		if i, more = p.open(b, i); i < 0 {
			return -1
		}
		for !more {
			if len(p.stack) == 0 {
				return i
			}
			closing := p.stack[len(p.stack)-1]
			if i, more = next(b, i, closing); i < 0 {
				return -1
			}
			if !more {
				p.stack = p.stack[:len(p.stack)-1]
			}
		}
		if p.stack[len(p.stack)-1] == '}' {
			if i = scanKey(b, i); i < 0 {
				return -1
			}
		}
	}
}

// open returns the index after the scalar at i, or after the opening bracket there; more
// reports that an element follows.
func (p *Parser) open(b []byte, i int) (_ int, more bool) {
	i = skipSpace(b, i)
	if i == len(b) {
		return -1, false
	}
	var closing byte
	switch b[i] {
	case '{':
		closing = '}'
	case '[':
		closing = ']'
	case '"':
		i, _ = scanString(b, i)
		return i, false
	default:
		var v value
		return p.value(b, i, &v), false
	}
	if len(p.stack) == maxDepth {
		return -1, false
	}
	if i, more = enter(b, i+1, closing); more {
		p.stack = append(p.stack, closing)
	}
	return i, more
}
