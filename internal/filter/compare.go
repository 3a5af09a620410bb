package filter

import (
	"slices"
	"strings"
)

// outcomes are the results of Value.Compare that satisfy an operator: less, equal, greater.
var outcomes = map[string][3]bool{
	"=":  {false, true, false},
	"!=": {true, false, true},
	"<":  {true, false, false},
	"<=": {true, true, false},
	">":  {false, false, true},
	">=": {false, true, true},
}

// examples are values of each kind for messages.
var examples = map[Kind]string{
	Number:   "a number, such as 0.5 or 1e-4",
	Bool:     "true or false",
	Time:     "a time, such as 2026-01-31 or 2026-01-31T12:00:00Z",
	Duration: "a duration, such as 20s, 90m or 1.5h",
}

// comparison compiles a field, an operator and a value.
func (c *compiler[T]) comparison(n *node) (func(T) bool, error) {
	op := n.operator.text
	presence := op == ":" && n.value.kind == tokenWord && n.value.text == "*"
	f, err := c.field(n.name, presence, false)
	if err != nil {
		return nil, err
	}
	get := f.Value
	switch {
	case presence && f.Kind == TextSet:
		return func(r T) bool { return f.Any(r, anyText) }, nil
	case presence:
		return func(r T) bool { return get(r).Known() }, nil
	case f.Kind == TextSet:
		return c.member(n, f)
	case f.Kind == Enum:
		return c.word(n, f)
	case f.Kind == Path && n.value.star >= 0:
		return c.pathPattern(n, get)
	case op == ":":
		return c.has(n, f)
	}
	want, err := c.literal(n, f.Kind)
	if err != nil {
		return nil, err
	}
	accepts := outcomes[op]
	return func(r T) bool {
		order, comparable := get(r).Compare(want)
		return comparable && accepts[order+1]
	}, nil
}

func anyText(string) bool { return true }

// member compiles a test for a member of a set.
func (c *compiler[T]) member(n *node, f Field[T]) (func(T) bool, error) {
	if n.operator.text != ":" {
		return nil, c.errorf(n.operator.at, `%s is a set: write %s:%s for the records that have this one`, n.name.text, n.name.text, quoted(n.value.text))
	}
	want := n.value.text
	matches := func(text string) bool { return text == want }
	return func(r T) bool { return f.Any(r, matches) }, nil
}

// word compiles a comparison with a word of an Enum.
func (c *compiler[T]) word(n *node, f Field[T]) (func(T) bool, error) {
	op, get, words := n.operator.text, f.Value, f.Words
	want := strings.TrimPrefix(n.value.text, f.LongPrefix)
	switch {
	case op != "=" && op != "!=" && op != ":":
		return nil, c.errorf(n.operator.at, "%s is compared with = and != only", n.name.text)
	case !slices.Contains(words, want):
		return nil, c.errorf(n.value.at, "%s must be %s, not %s", n.name.text, strings.Join(words, ", "), quoted(n.value.text))
	case op == "!=":
		return func(r T) bool { got := get(r).text; return got != want && slices.Contains(words, got) }, nil
	}
	return func(r T) bool { return get(r).text == want }, nil
}

// pathPattern compiles a path that ends in *.
func (c *compiler[T]) pathPattern(n *node, get func(T) Value) (func(T) bool, error) {
	op, star := n.operator.text, n.value.star
	switch {
	case star != len(n.value.text)-1:
		return nil, c.errorf(n.value.at, `* is allowed at the end of a path only: write \* in double quotes for the character`)
	case op != "=" && op != "!=":
		return nil, c.errorf(n.operator.at, `* at the end of a path needs = or !=: write %s:"a/b" for a/b and all below it`, n.name.text)
	}
	prefix, want := n.value.text[:star], op == "="
	return func(r T) bool {
		v := get(r)
		return v.Known() && strings.HasPrefix(v.text, prefix) == want
	}, nil
}

// has compiles ":" with a text.
func (c *compiler[T]) has(n *node, f Field[T]) (func(T) bool, error) {
	get := f.Value
	switch f.Kind {
	case Text, Dynamic:
		contains := containsWord(n.value.text)
		return func(r T) bool { v := get(r); return v.kind == kindText && contains(v.text) }, nil
	case Path:
		prefix := strings.Trim(n.value.text, "/")
		return func(r T) bool { v := get(r); return v.Known() && isUnder(v.text, prefix) }, nil
	}
	return nil, c.errorf(n.operator.at, `":" searches for a part of a text: compare %s with =, or write %s:* for all that have it`, quoted(n.name.text), quoted(n.name.text))
}

// isUnder reports whether a path is prefix or below it, by whole segments.
func isUnder(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (prefix == "" || rest == "" || rest[0] == '/')
}

// literal parses the value of a comparison with a field of a kind.
func (c *compiler[T]) literal(n *node, kind Kind) (v Value, err error) {
	s, bare, ok := n.value.text, n.value.kind == tokenWord, true
	switch kind {
	case Number:
		v, ok = parseNumber(s)
		ok = ok && bare
	case Bool:
		v, ok = BoolValue(s == "true"), bare && (s == "true" || s == "false")
	case Time:
		v, ok = parseTime(s)
	case Duration:
		v, ok = parseDuration(s)
	case Dynamic:
		v = dynamic(s, bare)
	default:
		v = TextValue(s)
	}
	if !ok {
		return v, c.errorf(n.value.at, "%s is compared with %s, not with %s", quoted(n.name.text), examples[kind], quoted(s))
	}
	if op := n.operator.text; v.kind == kindBool && op != "=" && op != "!=" {
		return v, c.errorf(n.operator.at, "true and false are compared with = and != only")
	}
	return v, nil
}

// dynamic parses a value whose spelling determines its kind.
func dynamic(s string, bare bool) Value {
	if !bare {
		return TextValue(s)
	}
	if s == "true" || s == "false" {
		return BoolValue(s == "true")
	}
	if v, ok := parseNumber(s); ok {
		return v
	}
	return TextValue(s)
}
