package demotest

import "testing"

func TestShapesShowKeysAndTypesWithoutValues(t *testing.T) {
	cases := map[string]struct {
		body, want string
		free       []string
	}{
		"an object":                  {`{"b":1,"a":"x"}`, `{"a":string,"b":number}`, nil},
		"elements are merged":        {`[{"a":1},{"a":null,"b":true}]`, `[{"a":null|number,"b"?:boolean}]`, nil},
		"keys that are data vanish":  {`{"stats":{"x":{"n":1},"y":{"n":2}}}`, `{"stats":{*:{*:number}}}`, []string{"stats"}},
		"an empty array has no type": {`[]`, `[]`, nil},
		"what is no JSON says so":    {`<html>`, `not JSON`, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Shape([]byte(c.body), c.free...); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestShapesDifferInKeysAndTypesOnly(t *testing.T) {
	cases := map[string]struct{ want, got, diff string }{
		"equal types":                   {`{"a":1}`, `{"a":2.5}`, ""},
		"null agrees with anything":     {`{"a":null}`, `{"a":"x"}`, ""},
		"empty agrees with any array":   {`[]`, `[{"a":1}]`, ""},
		"a missing member is named":     {`{"a":1,"b":1}`, `{"a":1}`, "$.b: missing"},
		"an extra member is named":      {`{"a":1}`, `{"a":1,"b":1}`, "$.b: unexpected"},
		"another type is named":         {`[{"a":1}]`, `[{"a":"1"}]`, "$[].a: want number, got string"},
		"a page is not a JSON document": {`{}`, `<html>`, "only one of the two is JSON"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := CompareShapes([]byte(c.want), []byte(c.got)); got != c.diff {
				t.Errorf("got %q, want %q", got, c.diff)
			}
		})
	}
}
