package cli

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	runicorngrpc "github.com/runicorn-grpc/runicorn-grpc"
)

// TestJSONIsThatOfTheAPI checks each line of output against the OpenAPI document.
func TestJSONIsThatOfTheAPI(t *testing.T) {
	t.Parallel()
	var document struct {
		Components struct{ Schemas map[string]*schema }
	}
	if err := json.Unmarshal(runicorngrpc.OpenAPI, &document); err != nil {
		t.Fatal(err)
	}
	schemas := document.Components.Schemas
	for _, test := range []struct {
		name  string
		args  []string
		lines int // minimum
	}{
		{"Viewer", []string{"viewers"}, 2},
		{"Experiment", []string{"ls", "-m", "loss"}, 11},
		{"Experiment", []string{"show", "demo/nlp/bert"}, 1},
		{"TailMetricsResponse", []string{"tail", "baseline"}, 3},
		{"TailLogsResponse", []string{"logs", "-f", "baseline"}, 3},
		{"FindBestExperimentResponse", []string{"best", "loss"}, 1},
	} {
		t.Run(test.args[0], func(t *testing.T) {
			t.Parallel()
			got := runCommand(t, append(test.args, "--json")...)
			lines := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
			if got.err != nil || len(lines) < test.lines {
				t.Fatalf("%d lines: %s", len(lines), got.text())
			}
			for _, line := range lines {
				var value any
				if err := json.Unmarshal([]byte(line), &value); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if err := check(schemas, schemas[test.name], value, test.name); err != nil {
					t.Errorf("%v: %s", err, line)
				}
			}
		})
	}
}

// schema is the part of JSON Schema that the OpenAPI document uses.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 any
	Enum                 []any
	Pattern              string
	Properties           map[string]*schema
	Required             []string
	Items                *schema
	AdditionalProperties json.RawMessage
	OneOf, AnyOf         []*schema
}

// check compares a value with a schema, and returns the first difference.
func check(all map[string]*schema, s *schema, value any, at string) error {
	if s == nil {
		return fmt.Errorf("%s: there is no schema", at)
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return check(all, all[name], value, at)
	}
	if choices := slices.Concat(s.OneOf, s.AnyOf); len(choices) > 0 {
		var err error
		for _, choice := range choices {
			if err = check(all, choice, value, at); err == nil {
				return nil
			}
		}
		return err
	}
	if s.Enum != nil && !slices.Contains(s.Enum, value) {
		return fmt.Errorf("%s: %v is none of %v", at, value, s.Enum)
	}
	switch v := value.(type) {
	case map[string]any:
		return checkObject(all, s, v, at)
	case []any:
		if s.Type != "array" {
			return fmt.Errorf("%s: an array instead of %v", at, s.Type)
		}
		for i, item := range v {
			if err := check(all, s.Items, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case string:
		if s.Type != "string" || s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) {
			return fmt.Errorf("%s: the text %q instead of %v %s", at, v, s.Type, s.Pattern)
		}
	case float64:
		if s.Type != "number" && s.Type != "integer" {
			return fmt.Errorf("%s: a number instead of %v", at, s.Type)
		}
	case bool:
		if s.Type != "boolean" {
			return fmt.Errorf("%s: a boolean instead of %v", at, s.Type)
		}
	case nil:
		return fmt.Errorf("%s: null", at)
	}
	return nil
}

func checkObject(all map[string]*schema, s *schema, object map[string]any, at string) error {
	if s.Type != "object" {
		return fmt.Errorf("%s: an object instead of %v", at, s.Type)
	}
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			return fmt.Errorf("%s lacks %s", at, name)
		}
	}
	var others *schema
	if err := json.Unmarshal(s.AdditionalProperties, &others); err != nil {
		others = nil // a boolean, or nothing
	}
	for name, field := range object {
		property := s.Properties[name]
		if property == nil {
			property = others
		}
		if err := check(all, property, field, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func TestTheCheckOfSchemasFails(t *testing.T) {
	t.Parallel()
	s := &schema{Type: "object", Required: []string{"a"}, Properties: map[string]*schema{"a": {Type: "string"}, "b": {Type: "array", Items: &schema{Type: "integer"}}}}
	for text, want := range map[string]bool{
		`{"a": "x"}`: true, `{"a": "x", "b": [1]}`: true,
		`{}`: false, `{"a": 1}`: false, `{"a": "x", "c": 1}`: false, `{"a": "x", "b": ["y"]}`: false, `{"a": "x", "b": null}`: false, `[]`: false,
	} {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		if err := check(nil, s, value, "it"); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
