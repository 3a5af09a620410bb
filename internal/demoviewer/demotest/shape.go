package demotest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CompareShapes lists the differences between the shapes of two JSON bodies, one per line;
// it is empty if they agree. A shape has keys and types without values. The elements of an
// array are merged into one. Objects below a key in free have keys that are data (a
// summary, counts by path), and are merged like the elements of an array. A null agrees
// with anything, and an empty array or free object with any other, because they do not show
// the type.
func CompareShapes(want, got []byte, free ...string) string {
	a, b := shapeOf(want, free), shapeOf(got, free)
	if a == nil || b == nil {
		if a == nil && b == nil {
			return ""
		}
		return "only one of the two is JSON"
	}
	var out []string
	for _, at := range slices.Sorted(maps.Keys(b)) {
		if a[at] == nil && a.tells(at) {
			out = append(out, at+": unexpected")
		}
	}
	for _, at := range slices.Sorted(maps.Keys(a)) {
		switch wanted, seen := a[at].types(), b[at].types(); {
		case b[at] == nil && b.tells(at):
			out = append(out, at+": missing")
		case wanted != "" && seen != "" && wanted != seen:
			out = append(out, fmt.Sprintf("%s: want %s, got %s", at, wanted, seen))
		}
	}
	return strings.Join(out, "\n")
}

// shape maps paths in a JSON value, such as $.runs[].id, to types.
type shape map[string]kinds

// kinds is a set of types: null, boolean, number, string, array, object, map.
type kinds map[string]bool

// shapeOf parses a body; nil means that it is not JSON.
func shapeOf(body []byte, free []string) shape {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return nil
	}
	s := shape{}
	s.add("$", value, free, false)
	return s
}

// add merges a value into the shape. isFree reports that the keys of an object are data.
func (s shape) add(at string, value any, free []string, isFree bool) {
	kind := "null"
	switch x := value.(type) {
	case bool:
		kind = "boolean"
	case float64:
		kind = "number"
	case string:
		kind = "string"
	case []any:
		kind = "array"
		for _, item := range x {
			s.add(at+"[]", item, free, isFree)
		}
	case map[string]any:
		kind = "object"
		if isFree {
			kind = "map"
		}
		for key, item := range x {
			if isFree {
				s.add(at+"[]", item, free, true)
			} else {
				s.add(at+"."+key, item, free, slices.Contains(free, key))
			}
		}
	}
	if s[at] == nil {
		s[at] = kinds{}
	}
	s[at][kind] = true
}

// tells reports whether a missing path is a difference: its parent is an object with other
// members.
func (s shape) tells(at string) bool {
	parent := at[:max(strings.LastIndexAny(at, ".["), 0)]
	if strings.HasSuffix(at, "[]") {
		return false
	}
	for known := range s {
		if rest, below := strings.CutPrefix(known, parent+"."); below && !strings.ContainsAny(rest, ".[") {
			return true
		}
	}
	return false
}

// types lists the kinds except null, joined.
func (k kinds) types() string {
	return strings.Join(slices.DeleteFunc(slices.Sorted(maps.Keys(k)), func(kind string) bool { return kind == "null" }), "|")
}
