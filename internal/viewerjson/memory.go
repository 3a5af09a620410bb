package viewerjson

import (
	"bytes"
	"reflect"
	"sync"

	"github.com/go-json-experiment/json"
)

// perEntry is what an entry of a map takes besides its key and value, in bytes.
const perEntry = 48

// costs are what parts of a document may take in memory when they are decoded into
// a type, in bytes.
type costs struct {
	object int64 // of {}: the largest struct of the type
	item   int64 // of what a comma separates: the largest element of a list or map of scalars
}

// memory estimates from above what the values of a document take when they are
// decoded into what v points to. It does not count what lists have in reserve.
func memory(doc []byte, v any) int64 {
	cost := costsOf(reflect.TypeOf(v))
	total := int64(len(doc))
	for i := 0; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			i = skipString(doc, i) - 1
		case '{':
			total += cost.object + cost.item
		case '[', ',':
			total += cost.item
		}
	}
	return total
}

// skipString returns the index after the string that begins at i.
func skipString(doc []byte, i int) int {
	for i++; i < len(doc); i++ {
		next := bytes.IndexAny(doc[i:min(i+64, len(doc))], `"\`)
		switch {
		case next < 0:
			i = min(i+64, len(doc)) - 1
		case doc[i+next] == '"':
			return i + next + 1
		default:
			i += next + 1
		}
	}
	return len(doc)
}

// known holds the costs of types.
var known sync.Map

func costsOf(t reflect.Type) costs {
	if found, ok := known.Load(t); ok {
		return found.(costs) //nolint:forcetypeassert,errcheck // nothing else is stored
	}
	cost := costs{item: 32} // a text of its own, at least
	cost.add(t, make(map[reflect.Type]bool))
	known.Store(t, cost)
	return cost
}

// add adds the types that a value of a type can hold.
func (c *costs) add(t reflect.Type, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Struct:
		c.object = max(c.object, int64(t.Size()))
		for field := range t.Fields() {
			c.add(field.Type, seen)
		}
	case reflect.Map:
		c.item = max(c.item, int64(t.Key().Size()+t.Elem().Size())+perEntry)
		c.add(t.Elem(), seen)
	case reflect.Slice, reflect.Array:
		c.item = max(c.item, scalarSize(t.Elem()))
		c.add(t.Elem(), seen)
	case reflect.Pointer:
		c.add(t.Elem(), seen)
	}
}

// scalarSize is the size of an element that is read from a scalar: a struct is read
// from an object, which is counted as such.
func scalarSize(t reflect.Type) int64 {
	if t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(unmarshaler) {
		return 0
	}
	return int64(t.Size())
}

var unmarshaler = reflect.TypeFor[json.UnmarshalerFrom]()
