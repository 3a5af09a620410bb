package filter

import (
	"maps"
	"slices"
	"strings"
)

// Kind is the type of a field, which determines its operators and values.
type Kind uint8

// The kinds of fields. The getter of a field returns values of its kind, or the zero Value
// if the record has none.
const (
	// Text is compared exactly; ":" searches for a part of it.
	Text Kind = iota
	// Path is a text of segments between slashes.
	Path
	// Enum is one of the words of the field.
	Enum
	// TextSet is a set of texts.
	TextSet
	// Number is an integer or a floating-point number.
	Number
	// Bool is true or false.
	Bool
	// Time is an instant.
	Time
	// Duration is a length of time.
	Duration
	// Dynamic is a number, a text or a boolean, which may differ between records.
	Dynamic
)

// Field describes one field of records of the type T.
type Field[T any] struct {
	Kind Kind
	// Value reads the field. Nil for a TextSet.
	Value func(record T) Value
	// Any reports whether a member of a TextSet satisfies matches.
	Any func(record T, matches func(text string) bool) bool
	// Words are the allowed values of an Enum in sorting order. Other values are treated as
	// missing.
	Words []string
	// LongPrefix may precede the words in a filter, such as
	// EXPERIMENT_STATUS_.
	LongPrefix string
	// Sortable fields may be used in an order.
	Sortable bool
	// OrderOnly fields are unknown to filters.
	OrderOnly bool
	// Late fields are not read by Filter.MayMatch: they become known later than the rest of
	// a record.
	Late bool
}

// Family describes fields with keys in their names, such as summary.<key>.
type Family[T any] struct {
	Kind Kind
	// Parts are the names that end a field, such as "last" in
	// metrics.<name>.last. A family without parts has fields such as
	// summary.<key>.
	Parts []string
	// PartKinds are the kinds of parts that differ from the family's kind.
	PartKinds map[string]Kind
	// Value returns the getter of a key; it is called once per use in a filter. keys are
	// the parts between dots; a quoted part is one key, whatever it contains. part is one
	// of Parts; it is empty for a presence test without one, such as metrics.loss:*, and
	// for a family without parts.
	Value func(keys []string, part string) func(record T) Value
	// Sortable and Late are as in Field.
	Sortable, Late bool
}

// Schema describes records of type T. It must not change while it is in use.
type Schema[T any] struct {
	Fields   map[string]Field[T]
	Families map[string]Family[T]
	// Search reports whether any of the searched texts of the record satisfies contains.
	Search func(record T, contains func(text string) bool) bool
}

// Needs describes what a filter or an order reads of a record.
type Needs struct {
	// Fields are the names of the fields, sorted.
	Fields []string
	// Keys maps a family to its used keys, sorted and joined by dots: Keys["metrics"] are
	// the names of metrics.
	Keys map[string][]string
	// Search reports that words are searched for.
	Search bool
}

func (n *Needs) addField(name string) { n.Fields = insert(n.Fields, name) }

func (n *Needs) addKey(family, key string) {
	if n.Keys == nil {
		n.Keys = map[string][]string{}
	}
	n.Keys[family] = insert(n.Keys[family], key)
}

// insert adds a text to a sorted list without duplicates.
func insert(list []string, s string) []string {
	i, found := slices.BinarySearch(list, s)
	if found {
		return list
	}
	return slices.Insert(list, i, s)
}

// compiler compiles names and nodes.
type compiler[T any] struct {
	source
	schema *Schema[T]
	needs  Needs
}

// field returns the field of a name. presence reports a presence test only, ordering a key
// of an order.
func (c *compiler[T]) field(name token, presence, ordering bool) (Field[T], error) {
	first := name.segments[0].text
	if f, ok := c.schema.Fields[first]; ok && len(name.segments) == 1 && (ordering || !f.OrderOnly) {
		c.needs.addField(first)
		return f, nil
	}
	family, ok := c.schema.Families[first]
	if !ok {
		return Field[T]{}, c.errorf(name.at, "unknown field %s: known are %s", quoted(name.text), c.names(ordering))
	}
	keys, part, err := family.split(c.source, name, presence)
	if err != nil {
		return Field[T]{}, err
	}
	c.needs.addKey(first, strings.Join(keys, "."))
	kind, ok := family.PartKinds[part]
	if !ok {
		kind = family.Kind
	}
	return Field[T]{Kind: kind, Value: family.Value(keys, part), Sortable: family.Sortable}, nil
}

// isLate reports whether the field of a name is late.
func (c *compiler[T]) isLate(name token) bool {
	first := name.segments[0].text
	if f, ok := c.schema.Fields[first]; ok && len(name.segments) == 1 {
		return f.Late
	}
	return c.schema.Families[first].Late
}

// split splits a name into keys and part.
func (f *Family[T]) split(src source, name token, presence bool) (keys []string, part string, err error) {
	segments := name.segments[1:]
	if last := len(segments) - 1; last > 0 && !segments[last].quoted && slices.Contains(f.Parts, segments[last].text) {
		segments, part = segments[:last], segments[last].text
	}
	for _, s := range segments {
		if s.text == "" && !s.quoted {
			segments = nil
			break
		}
		keys = append(keys, s.text)
	}
	first := name.segments[0].text
	switch {
	case len(segments) == 0:
		return nil, "", src.errorf(name.at, "%s needs a key after a dot, such as %s.key or %s.%s", quoted(name.text), first, first, `"any/key"`)
	case part == "" && len(f.Parts) > 0 && !presence:
		return nil, "", src.errorf(name.at, "%s must end in .%s", quoted(name.text), strings.Join(f.Parts, ", ."))
	}
	return keys, part, nil
}

// names lists the fields for a message.
func (c *compiler[T]) names(ordering bool) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.schema.Fields)) {
		f := c.schema.Fields[name]
		if ordering && f.Sortable || !ordering && !f.OrderOnly {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.schema.Families)) {
		if !ordering || c.schema.Families[name].Sortable {
			names = append(names, name+".<key>")
		}
	}
	return strings.Join(names, ", ")
}
