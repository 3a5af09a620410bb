package demotest

import "testing"

func TestCompareShapes(t *testing.T) {
	cases := map[string]struct {
		want, got, diff string
		free            []string
	}{
		"equal types":                   {`{"a":1}`, `{"a":2.5}`, "", nil},
		"null agrees with anything":     {`{"a":null}`, `{"a":"x"}`, "", nil},
		"empty agrees with any array":   {`[]`, `[{"a":1}]`, "", nil},
		"a missing member is named":     {`{"a":1,"b":1}`, `{"a":1}`, "$.b: missing", nil},
		"an extra member is named":      {`{"a":1}`, `{"a":1,"b":1}`, "$.b: unexpected", nil},
		"another type is named":         {`[{"a":1}]`, `[{"a":"1"}]`, "$[].a: want number, got string", nil},
		"elements are merged":           {`[{"a":null,"b":1},{"a":1}]`, `[{"a":2,"b":2}]`, "", nil},
		"keys that are data may differ": {`{"stats":{"x":{"n":1}}}`, `{"stats":{"y":{"n":2}}}`, "", []string{"stats"}},
		"a page is not a JSON document": {`{}`, `<html>`, "only one of the two is JSON", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := CompareShapes([]byte(c.want), []byte(c.got), c.free...); got != c.diff {
				t.Errorf("got %q, want %q", got, c.diff)
			}
		})
	}
}
