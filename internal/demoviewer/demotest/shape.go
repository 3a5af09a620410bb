package demotest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CompareShapes lists where the shapes of two JSON bodies differ, one line each, and is empty when they agree. A shape is
// the keys and types without the values. The elements of an array are merged into one. Objects below a key in free have
// keys that are data (a summary, counts by path), and are merged like the elements of an array. A null agrees with
// anything and an empty array or free object with any other, because they say nothing about the type.
func CompareShapes(want, got []byte, free ...string) string {
	a, b := shapeOf(want, free), shapeOf(got, free)
	if a == nil || b == nil {
		if a == nil && b == nil {
			return ""
		}
		return "only one of the two is JSON"
	}
	var out []string
	a.compare(b, "$", &out)
	return strings.Join(out, "\n")
}

// shape is the type of a JSON value: its kinds, the shapes of its members, and that of its elements.
type shape struct {
	kinds   map[string]struct{} // null, boolean, number, string, array, object, map
	members map[string]*shape
	element *shape
}

// shapeOf parses a body; nil means that it is no JSON.
func shapeOf(body []byte, free []string) *shape {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil
	}
	s := &shape{}
	s.add(value, free, false)
	return s
}

// add merges a value into the shape. isFree says that the keys of an object are data.
func (s *shape) add(value any, free []string, isFree bool) {
	switch x := value.(type) {
	case nil:
		s.kind("null")
	case bool:
		s.kind("boolean")
	case json.Number:
		s.kind("number")
	case string:
		s.kind("string")
	case []any:
		s.kind("array")
		for _, item := range x {
			s.elem().add(item, free, isFree)
		}
	case map[string]any:
		if isFree {
			s.kind("map")
			for _, item := range x {
				s.elem().add(item, free, true)
			}
			return
		}
		s.kind("object")
		for key, item := range x {
			if s.members == nil {
				s.members = map[string]*shape{}
			}
			if s.members[key] == nil {
				s.members[key] = &shape{}
			}
			s.members[key].add(item, free, slices.Contains(free, key))
		}
	}
}

// kind notes a type.
func (s *shape) kind(name string) {
	if s.kinds == nil {
		s.kinds = map[string]struct{}{}
	}
	s.kinds[name] = struct{}{}
}

// elem is the shape of the elements.
func (s *shape) elem() *shape {
	if s.element == nil {
		s.element = &shape{}
	}
	return s.element
}

// compare notes differences at a place.
func (s *shape) compare(other *shape, at string, out *[]string) {
	if s == nil || other == nil {
		return // an empty array or map on one side
	}
	a, b := s.types(), other.types()
	if a != "" && b != "" && a != b {
		*out = append(*out, fmt.Sprintf("%s: want %s, got %s", at, a, b))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(s.members)) {
		if other.members[key] == nil {
			if len(other.members) > 0 {
				*out = append(*out, fmt.Sprintf("%s.%s: missing", at, key))
			}
			continue
		}
		s.members[key].compare(other.members[key], at+"."+key, out)
	}
	for _, key := range slices.Sorted(maps.Keys(other.members)) {
		if s.members[key] == nil && len(s.members) > 0 {
			*out = append(*out, fmt.Sprintf("%s.%s: unexpected", at, key))
		}
	}
	s.element.compare(other.element, at+"[]", out)
}

// types lists the kinds but null, joined.
func (s *shape) types() string {
	kinds := slices.DeleteFunc(slices.Sorted(maps.Keys(s.kinds)), func(kind string) bool { return kind == "null" })
	return strings.Join(kinds, "|")
}
