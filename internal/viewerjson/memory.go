package viewerjson

import (
	"bytes"
	"reflect"
	"sync"

	"github.com/go-json-experiment/json"
)

// perEntry is the size of a map entry in bytes besides its key and value.
const perEntry = 48

// costs are the maximum memory, in bytes, of parts of a document when decoded into a type.
type costs struct {
	object int64 // of {}: the largest struct within the type
	item   int64 // of a value between commas: the largest scalar element of a list or map
}

// memory returns an upper bound of the memory that a document takes when decoded into what
// v points to, without spare capacity of lists.
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

// known caches the costs of types.
var known sync.Map

func costsOf(t reflect.Type) costs {
	if found, ok := known.Load(t); ok {
		return found.(costs) //nolint:forcetypeassert,errcheck // nothing else is stored
	}
	cost := costs{item: 32} // at least a separately allocated text
	cost.add(t, make(map[reflect.Type]bool))
	known.Store(t, cost)
	return cost
}

// add adds the types that a value of type t can contain.
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

// scalarSize returns the size of an element decoded from a scalar. Structs are decoded from
// objects, which are counted separately.
func scalarSize(t reflect.Type) int64 {
	if t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(unmarshaler) {
		return 0
	}
	return int64(t.Size())
}

var unmarshaler = reflect.TypeFor[json.UnmarshalerFrom]()
