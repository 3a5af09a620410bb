package filter

import "strings"

// Filter is a compiled filter for records of the type T. It may be used by
// several goroutines.
type Filter[T any] struct {
	text  string
	match func(record T) bool // nil selects everything
	needs Needs
}

// Compile reads a filter; an empty one selects every record. Its errors are of
// the type *Error.
func Compile[T any](text string, schema *Schema[T]) (*Filter[T], error) {
	n, err := parse(text)
	if err != nil {
		return nil, err
	}
	f := &Filter[T]{text: text}
	if n == nil {
		return f, nil
	}
	c := &compiler[T]{source: source(text), schema: schema}
	if f.match, err = c.compile(n); err != nil {
		return nil, err
	}
	f.needs = c.needs
	return f, nil
}

// Match reports whether the filter selects a record. It allocates nothing if
// the getters of the schema do not.
func (f *Filter[T]) Match(record T) bool { return f.match == nil || f.match(record) }

// Text returns the text that was compiled, unchanged.
func (f *Filter[T]) Text() string { return f.text }

// IsEmpty reports whether the filter selects every record because it has no
// term.
func (f *Filter[T]) IsEmpty() bool { return f.match == nil }

// Needs returns what the filter reads of a record. The caller must not change
// it.
func (f *Filter[T]) Needs() Needs { return f.needs }

func (c *compiler[T]) compile(n *node) (func(T) bool, error) {
	switch n.kind {
	case nodeCompare:
		return c.comparison(n)
	case nodeSearch:
		return c.search(n)
	}
	operands := make([]func(T) bool, len(n.operands))
	for i, operand := range n.operands {
		var err error
		if operands[i], err = c.compile(operand); err != nil {
			return nil, err
		}
	}
	switch n.kind {
	case nodeNot:
		inner := operands[0]
		return func(r T) bool { return !inner(r) }, nil
	case nodeOr:
		return func(r T) bool { return anyOf(operands, r) }, nil
	}
	return func(r T) bool { return allOf(operands, r) }, nil
}

func allOf[T any](tests []func(T) bool, record T) bool {
	for _, test := range tests {
		if !test(record) {
			return false
		}
	}
	return true
}

func anyOf[T any](tests []func(T) bool, record T) bool {
	for _, test := range tests {
		if test(record) {
			return true
		}
	}
	return false
}

// search compiles a word without a field.
func (c *compiler[T]) search(n *node) (func(T) bool, error) {
	if _, isField := c.schema.Fields[n.name.text]; isField && n.adjoined && n.name.kind == tokenWord {
		return nil, c.errorf(n.name.at, "the field %s needs an operator after it, such as = or :, or double quotes around it to search for the word", n.name.text)
	}
	c.needs.Search = true
	contains, search := containsWord(n.name.text), c.schema.Search
	return func(r T) bool { return search(r, contains) }, nil
}

// containsWord returns a test for texts that contain word in any case.
func containsWord(word string) func(string) bool {
	word = strings.ToLower(word)
	return func(text string) bool { return ContainsFold(text, word) }
}
