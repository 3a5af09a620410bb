package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEnd      tokenKind = iota
	tokenWord               // a bare word, or a dotted name with quoted parts
	tokenString             // one quoted text
	tokenOperator           // = != < <= > >= :
	tokenOpen
	tokenClose
	tokenAnd
	tokenOr
	tokenNot // NOT, or a hyphen before a term
	tokenComma
)

// segment is one part of a dotted name.
type segment struct {
	text   string
	quoted bool
}

type token struct {
	kind tokenKind
	at   int // byte offset
	// text is the decoded text of a tokenString, otherwise the source text.
	text string
	// segments are the parts of a tokenWord or tokenString between dots. Values have none.
	segments []segment
	// star is the offset in text of the first * that is not escaped, or -1.
	star int
}

// hasQuotedPart reports whether a dotted name has a quoted part.
func (t token) hasQuotedPart() bool {
	for _, s := range t.segments {
		if s.quoted {
			return true
		}
	}
	return false
}

// lexer splits a source into tokens on demand. The parser chooses between a term and a
// value, because a hyphen and a dot have different meanings there.
type lexer struct {
	source
	next int
}

// skipSpace returns the offset of the next token.
func (l *lexer) skipSpace() int {
	rest := strings.TrimLeftFunc(string(l.source[l.next:]), unicode.IsSpace)
	l.next = len(l.source) - len(rest)
	return l.next
}

// term reads the next token where a term or an operator is expected.
func (l *lexer) term() (token, error) {
	at := l.skipSpace()
	if at == len(l.source) {
		return token{at: at}, nil
	}
	switch c := l.source[at]; c {
	case '(':
		return l.take(tokenOpen, 1), nil
	case ')':
		return l.take(tokenClose, 1), nil
	case ',':
		return l.take(tokenComma, 1), nil
	case '-':
		return l.take(tokenNot, 1), nil
	case '=', '!', '<', '>', ':':
		return l.operator()
	}
	return l.name()
}

func (l *lexer) take(kind tokenKind, size int) token {
	at := l.next
	l.next += size
	return token{kind: kind, at: at, text: string(l.source[at:l.next])}
}

// operator reads a comparison operator.
func (l *lexer) operator() (token, error) {
	rest := string(l.source[l.next:])
	switch {
	case strings.HasPrefix(rest, "=="):
		return token{}, l.errorf(l.next, `"==" is not an operator: write "="`)
	case strings.HasPrefix(rest, "=~"), strings.HasPrefix(rest, "!~"):
		return token{}, l.errorf(l.next, `regular expressions are not supported: write ":" for a part of a text`)
	case strings.HasPrefix(rest, "!="), strings.HasPrefix(rest, "<="), strings.HasPrefix(rest, ">="):
		return l.take(tokenOperator, 2), nil
	case rest[0] == '!':
		return token{}, l.errorf(l.next, `"!" is not an operator: write NOT before a term, or "!=" between a field and a value`)
	}
	return l.take(tokenOperator, 1), nil
}

// name reads a word or a dotted name, such as metrics."train/loss".last.
func (l *lexer) name() (token, error) {
	t := token{kind: tokenWord, at: l.next, star: -1}
	for {
		s, star, err := l.segment()
		if err != nil {
			return t, err
		}
		t.segments, t.star = append(t.segments, s), star
		if l.next == len(l.source) || l.source[l.next] != '.' {
			break
		}
		l.next++
	}
	t.text = string(l.source[t.at:l.next])
	if len(t.segments) == 1 && t.segments[0].quoted {
		t.kind, t.text = tokenString, t.segments[0].text
	}
	switch t.text {
	case "AND":
		t.kind = tokenAnd
	case "OR":
		t.kind = tokenOr
	case "NOT":
		t.kind = tokenNot
	}
	if t.hasQuotedPart() && len(t.segments) == 1 {
		t.kind = tokenString // a quoted "AND" is a text
	}
	return t, nil
}

// segment reads one part of a dotted name.
func (l *lexer) segment() (s segment, star int, err error) {
	if l.atQuote() {
		s.quoted = true
		s.text, star, err = l.quotedText()
		return s, star, err
	}
	at := l.next
	for l.next < len(l.source) && l.source[l.next] != '.' {
		size := l.wordRune()
		if size == 0 {
			break
		}
		l.next += size
	}
	s.text = string(l.source[at:l.next])
	return s, -1, l.checkWordEnd(at)
}

// value reads the value of a comparison.
func (l *lexer) value() (token, error) {
	at := l.skipSpace()
	if l.atQuote() {
		text, star, err := l.quotedText()
		if err == nil && l.next < len(l.source) && l.source[l.next] == '.' {
			err = l.errorf(l.next, "the quoted text ends before this dot: put a space between terms")
		}
		return token{kind: tokenString, at: at, text: text, star: star}, err
	}
	for l.next < len(l.source) {
		size := l.wordRune()
		if size == 0 && l.source[l.next] == ':' && isTimePrefix(string(l.source[at:l.next])) {
			size = 1
		}
		if size == 0 {
			break
		}
		l.next += size
	}
	text := string(l.source[at:l.next])
	t := token{kind: tokenWord, at: at, text: text, star: strings.IndexByte(text, '*')}
	if text == "" && (l.next == len(l.source) || strings.IndexByte("()=!<>:,", l.source[l.next]) >= 0) {
		return token{at: at}, nil // the parser reports what is missing
	}
	return t, l.checkWordEnd(at)
}

// isTimePrefix reports whether a word begins like an RFC 3339 time, so that colons are part
// of it.
func isTimePrefix(word string) bool {
	return len(word) >= len("2006-01-02T15") && word[4] == '-' && word[7] == '-' && (word[10] == 'T' || word[10] == 't')
}

// wordRune returns the size of the next character if it is part of a word, else 0.
func (l *lexer) wordRune() int {
	r, size := utf8.DecodeRuneInString(string(l.source[l.next:]))
	switch {
	case r < utf8.RuneSelf:
		if !isWordByte(byte(r)) {
			return 0
		}
	case unicode.IsSpace(r), !unicode.IsGraphic(r), strings.ContainsRune("“”„‘’", r):
		return 0
	}
	return size
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-./+*@#%$?", c) >= 0
}

// checkWordEnd refuses a character that is neither part of a word nor ends it. The word
// began at start.
func (l *lexer) checkWordEnd(start int) error {
	if l.next == len(l.source) {
		return nil
	}
	r, _ := utf8.DecodeRuneInString(string(l.source[l.next:]))
	switch {
	case unicode.IsSpace(r), strings.ContainsRune(".()=!<>:,", r):
		return nil
	case r == '"', r == '`':
		if l.next == start || l.source[l.next-1] == '.' {
			return nil // a quoted part follows
		}
		return l.errorf(l.next, "a quoted text begins inside a word: put a space or an operator before it, or quote the whole")
	case r == '&':
		return l.errorf(l.next, `"&" is not an operator: write AND`)
	case r == '|':
		return l.errorf(l.next, `"|" is not an operator: write OR`)
	case strings.ContainsRune("'“”„‘’", r):
		return l.errorf(l.next, `texts are quoted with double quotes: write "text"`)
	}
	return l.errorf(l.next, "unexpected character %q: put texts that hold it in double quotes", r)
}

func (l *lexer) atQuote() bool {
	return l.next < len(l.source) && (l.source[l.next] == '"' || l.source[l.next] == '`')
}
