package filter

import "slices"

// MaxOrderKeys is the maximum number of keys of an order.
const MaxOrderKeys = 4

// Order is a compiled order of records of type T.
type Order[T any] struct {
	// Keys are the keys, the most significant first; empty for an empty text.
	Keys  []OrderKey[T]
	needs Needs
}

// OrderKey is one key of an order.
type OrderKey[T any] struct {
	// Name is the field as written.
	Name string
	// Desc reports a descending key.
	Desc bool
	// Value returns the key of a record; for an Enum it is the index of the word.
	Value func(record T) Value
}

// ParseOrder compiles an order such as "status, create_time desc". Its errors are of type
// *Error.
func ParseOrder[T any](text string, schema *Schema[T]) (*Order[T], error) {
	c := &compiler[T]{source: source(text), schema: schema}
	if err := c.check("an order"); err != nil {
		return nil, err
	}
	l, o := &lexer{source: c.source}, &Order[T]{}
	t, err := l.term()
	for err == nil && t.kind != tokenEnd {
		if len(o.Keys) == MaxOrderKeys {
			return nil, c.limitf(t.at, "an order has at most %d keys", MaxOrderKeys)
		}
		var key OrderKey[T]
		if key, err = c.orderKey(t); err != nil {
			break
		}
		if key.Desc, t, err = l.direction(); err != nil {
			break
		}
		o.Keys = append(o.Keys, key)
	}
	if err != nil {
		return nil, err
	}
	o.needs = c.needs
	return o, nil
}

// orderKey compiles the field of a key.
func (c *compiler[T]) orderKey(t token) (key OrderKey[T], err error) {
	if t.kind != tokenWord && t.kind != tokenString {
		return key, c.errorf(t.at, "unexpected %s: a field is expected, such as create_time desc", quoted(t.text))
	}
	f, err := c.field(t, false, true)
	if err != nil {
		return key, err
	}
	if !f.Sortable {
		return key, c.errorf(t.at, "%s cannot be ordered by: allowed are %s", quoted(t.text), c.names(true))
	}
	get := f.Value
	if f.Kind == Enum {
		get = rank(f)
	}
	return OrderKey[T]{Name: t.text, Value: get}, nil
}

// rank returns the getter of the index of an Enum's word.
func rank[T any](f Field[T]) func(T) Value {
	return func(r T) Value {
		if i := slices.Index(f.Words, f.Value(r).text); i >= 0 {
			return IntValue(int64(i))
		}
		return Value{}
	}
}

// direction parses what follows a field: asc or desc, and a comma with the first token of
// the next key, or the end.
func (l *lexer) direction() (desc bool, next token, err error) {
	if next, err = l.term(); err != nil {
		return false, next, err
	}
	if next.kind == tokenWord && (next.text == "desc" || next.text == "asc") {
		desc = next.text == "desc"
		if next, err = l.term(); err != nil {
			return desc, next, err
		}
	}
	switch next.kind {
	case tokenEnd:
		return desc, next, nil
	case tokenComma:
		if next, err = l.term(); err == nil && next.kind == tokenEnd {
			err = l.errorf(next.at, `the order ends where a field is expected after ","`)
		}
		return desc, next, err
	}
	return desc, next, l.errorf(next.at, `unexpected %s: "asc", "desc", "," or the end is expected`, quoted(next.text))
}

// Compare orders two records; 0 means that they are equal in all keys.
func (o *Order[T]) Compare(a, b T) int {
	for i := range o.Keys {
		if c := o.Keys[i].Compare(a, b); c != 0 {
			return c
		}
	}
	return 0
}

// Needs returns what the order reads of a record. It is read-only.
func (o *Order[T]) Needs() Needs { return o.needs }

// Compare orders two records by this key.
func (k *OrderKey[T]) Compare(a, b T) int { return k.CompareValues(k.Value(a), k.Value(b)) }

// CompareValues orders two values of this key. Missing values and NaN come last in both
// directions.
func (k *OrderKey[T]) CompareValues(a, b Value) int {
	return a.Order(b, k.Desc)
}

// sortClass orders values of different kinds: numbers, then other kinds, unordered values
// last.
func sortClass(v Value) int {
	switch {
	case v.isUnordered():
		return int(kindOpaque)
	case v.kind == kindInteger:
		return int(kindNumber)
	}
	return int(v.kind)
}
