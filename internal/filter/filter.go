package filter

import (
	"slices"
	"strings"
)

// Filter is a compiled filter for records of type T. It is safe for concurrent use.
type Filter[T any] struct {
	match func(record T) bool // nil selects everything
	may   func(record T) outcome
	needs Needs
}

// outcome is the set of results that a test can still have once its late fields are known.
type outcome struct{ yes, no bool }

// Compile compiles a filter; an empty one selects every record. Its errors are of type
// *Error.
func Compile[T any](text string, schema *Schema[T]) (*Filter[T], error) {
	n, err := parse(text)
	if err != nil {
		return nil, err
	}
	f := &Filter[T]{}
	if n == nil {
		return f, nil
	}
	c := &compiler[T]{source: source(text), schema: schema}
	if f.match, err = c.compile(n, &f.may); err != nil {
		return nil, err
	}
	f.needs = c.needs
	return f, nil
}

// MayMatch reports whether the filter can select a record whose late fields are not
// known yet. It reads no late field.
func (f *Filter[T]) MayMatch(record T) bool { return f.match == nil || f.may(record).yes }

// Match reports whether the filter selects a record. It allocates nothing if
// the getters of the schema do not.
func (f *Filter[T]) Match(record T) bool { return f.match == nil || f.match(record) }

// Needs returns what the filter reads of a record. It is read-only.
func (f *Filter[T]) Needs() Needs { return f.needs }

// compile returns the test of a node, and sets may to its possible outcomes.
func (c *compiler[T]) compile(n *node, may *func(T) outcome) (match func(T) bool, err error) {
	switch n.kind {
	case nodeCompare:
		match, err = c.comparison(n)
	case nodeSearch:
		match, err = c.search(n)
	default:
		return c.compileOperands(n, may)
	}
	*may = func(r T) outcome { m := match(r); return outcome{m, !m} }
	if n.kind == nodeCompare && c.isLate(n.name) {
		*may = func(T) outcome { return outcome{true, true} }
	}
	return match, err
}

func (c *compiler[T]) compileOperands(n *node, may *func(T) outcome) (func(T) bool, error) {
	operands, mays := make([]func(T) bool, len(n.operands)), make([]func(T) outcome, len(n.operands))
	for i, operand := range n.operands {
		var err error
		if operands[i], err = c.compile(operand, &mays[i]); err != nil {
			return nil, err
		}
	}
	switch n.kind {
	case nodeNot:
		inner, innerMay := operands[0], mays[0]
		*may = func(r T) outcome { o := innerMay(r); return outcome{o.no, o.yes} }
		return func(r T) bool { return !inner(r) }, nil
	case nodeOr:
		*may = func(r T) outcome { return mayAny(mays, r) }
		return func(r T) bool {
			return slices.ContainsFunc(operands, func(test func(T) bool) bool { return test(r) })
		}, nil
	}
	*may = func(r T) outcome { return mayAll(mays, r) }
	return func(r T) bool {
		return !slices.ContainsFunc(operands, func(test func(T) bool) bool { return !test(r) })
	}, nil
}

// mayAll returns the possible outcomes of tests that must all be true.
func mayAll[T any](mays []func(T) outcome, record T) outcome {
	all := outcome{yes: true}
	for _, may := range mays {
		o := may(record)
		all.yes, all.no = all.yes && o.yes, all.no || o.no
	}
	return all
}

// mayAny returns the possible outcomes of tests of which one must be true.
func mayAny[T any](mays []func(T) outcome, record T) outcome {
	any := outcome{no: true}
	for _, may := range mays {
		o := may(record)
		any.yes, any.no = any.yes || o.yes, any.no && o.no
	}
	return any
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
