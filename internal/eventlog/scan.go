package eventlog

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep the values of a line may be nested. Deeper ones make the
// line malformed; the Viewer gives up at Python's recursion limit of about 1000.
const maxDepth = 10_000

// skipSpace returns the first place from i on that is no JSON white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// skipBlanks is skipSpace for the ends of a line, where the Viewer strips all
// that Python calls white space.
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

// enter steps behind an opening bracket: more says whether there is a first
// element at the returned place, else the closing bracket has been passed.
func enter(b []byte, i int, closing byte) (_ int, more bool) {
	i = skipSpace(b, i)
	if i < len(b) && b[i] == closing {
		return i + 1, false
	}
	return i, true
}

// next steps behind an element: more says whether there is another one at the
// returned place, else the closing bracket has been passed (or -1).
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

// scanWord passes the word at i.
func scanWord(b []byte, i int, word string) int {
	if !bytes.HasPrefix(b[i:], []byte(word)) {
		return -1
	}
	return i + len(word)
}

// scanKey passes the key at i and its colon.
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

// scanString passes the string at i, quotes included. It is plain if its bytes
// are its text: ASCII without escapes.
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

// escapeSize is the length of the escape sequence whose backslash lies before
// b, without that; 0 if it is none.
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

// unquote decodes a string that scanString has passed. Invalid UTF-8 and lone
// surrogates become U+FFFD.
func unquote(quoted []byte) []byte {
	text, _ := jsontext.AppendUnquote(nil, quoted) // the error only says that bytes were replaced
	return text
}

// skip passes the value at i whatever it is, checking that it is JSON. It keeps
// the open brackets in p.stack and does not recurse.
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

// open passes the scalar at i, or opens the array or object there: more says
// that its first element follows.
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
