package demoviewer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// runIDForm is what the Viewer's changing routes demand of a run id.
var runIDForm = regexp.MustCompile(`^[0-9]{8}_[0-9]{6}_[a-f0-9]{6}$`)

// problem is one entry of a 422 body. Input repeats what was sent, secrets included, as the real Viewer does.
type problem struct {
	Type  string          `json:"type"`
	Loc   []any           `json:"loc"`
	Msg   string          `json:"msg"`
	Input json.RawMessage `json:"input"`
	Ctx   map[string]any  `json:"ctx,omitempty"`
}

// unprocessable is a 422 with its problems.
func unprocessable(problems ...problem) *answer {
	a := detail(http.StatusUnprocessableEntity, problems)
	return &a
}

// missing says that a field was not sent; input is the body around it, or nil in a query.
func missing(input []byte, loc ...any) problem {
	if input == nil {
		input = []byte("null")
	}
	return problem{Type: "missing", Loc: loc, Msg: "Field required", Input: input}
}

// invalidID is the 400 of a changing route for an id of another form.
func invalidID(id any) *answer {
	a := detail(http.StatusBadRequest, fmt.Sprintf("Invalid run_id format: %v", id))
	return &a
}

// badRequest is a 400.
func badRequest(text string) *answer {
	a := detail(http.StatusBadRequest, text)
	return &a
}

// object is a JSON object body.
type object map[string]json.RawMessage

// withObject makes a handler of one that takes a JSON object.
func withObject(handle func(*Viewer, *call, object) answer) handler {
	return withBody("dict_type", handle, nil)
}

// withModel makes a handler of one that takes a JSON object with required fields.
func withModel(handle func(*Viewer, *call, object) answer, required ...string) handler {
	return withBody("model_attributes_type", handle, required)
}

func withBody(wrongType string, handle func(*Viewer, *call, object) answer, required []string) handler {
	return func(v *Viewer, c *call) answer {
		body, bad := c.object(wrongType)
		if bad == nil {
			bad = c.required(body, required...)
		}
		if bad != nil {
			return *bad
		}
		return handle(v, c, body)
	}
}

// object reads a JSON object body. A wrong one is a 422; wrongType is how the route's model calls what is no object.
func (c *call) object(wrongType string) (object, *answer) {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil, unprocessable(missing(nil, "body"))
	}
	message := "Input should be a valid dictionary"
	if wrongType == "model_attributes_type" {
		message += " or object to extract fields from"
	}
	if !strings.HasPrefix(c.r.Header.Get("Content-Type"), "application/json") {
		return nil, unprocessable(problem{Type: wrongType, Loc: []any{"body"}, Msg: message, Input: encode(string(c.body))})
	}
	if !json.Valid(c.body) {
		return nil, unprocessable(problem{
			Type: "json_invalid", Loc: []any{"body", 0}, Msg: "JSON decode error", Input: []byte("{}"),
			Ctx: map[string]any{"error": "Expecting value"},
		})
	}
	var fields object
	if err := json.Unmarshal(c.body, &fields); err != nil || fields == nil {
		return nil, unprocessable(problem{Type: wrongType, Loc: []any{"body"}, Msg: message, Input: c.body})
	}
	return fields, nil
}

// required tells the first 422 for absent or null fields of a body.
func (c *call) required(fields object, names ...string) *answer {
	var problems []problem
	for _, name := range names {
		if raw, sent := fields[name]; !sent {
			problems = append(problems, missing(c.body, "body", name))
		} else if string(raw) == "null" {
			problems = append(problems, stringType(raw, "body", name))
		}
	}
	if problems == nil {
		return nil
	}
	return unprocessable(problems...)
}

// stringType says that a field is no string.
func stringType(input []byte, loc ...any) problem {
	return problem{Type: "string_type", Loc: loc, Msg: "Input should be a valid string", Input: input}
}

// listType says that a field is no list.
func listType(input []byte, loc ...any) problem {
	return problem{Type: "list_type", Loc: loc, Msg: "Input should be a valid list", Input: input}
}

// runIDs reads and checks the run_ids of a batch; verb and limit are for the messages.
func (c *call) runIDs(verb string, limit int) ([]string, *answer) {
	fields, bad := c.object("dict_type")
	if bad != nil {
		return nil, bad
	}
	var ids []any
	if err := json.Unmarshal(fields["run_ids"], &ids); err != nil || len(ids) == 0 {
		return nil, badRequest("run_ids is required and must be a list")
	}
	if len(ids) > limit {
		return nil, badRequest(fmt.Sprintf("Cannot %s more than %d runs at once", verb, limit))
	}
	checked := make([]string, 0, len(ids))
	for _, raw := range ids {
		id, isString := raw.(string)
		if !isString || !runIDForm.MatchString(id) {
			return nil, invalidID(raw)
		}
		checked = append(checked, id) // twice stays twice: the second one then fails, as in the real Viewer
	}
	return checked, nil
}

// boolQuery reads an optional boolean parameter as pydantic does.
func (c *call) boolQuery(name string) (bool, *answer) {
	if !c.query.Has(name) {
		return false, nil
	}
	text := c.query.Get(name)
	switch strings.ToLower(text) {
	case "1", "true", "t", "yes", "y", "on":
		return true, nil
	case "0", "false", "f", "no", "n", "off":
		return false, nil
	}
	return false, unprocessable(problem{
		Type: "bool_parsing", Loc: []any{"query", name}, Input: encode(text),
		Msg: "Input should be a valid boolean, unable to interpret input",
	})
}

// intText reads an integer parameter, wherever it stood.
func intText(text string, loc ...any) (int, *answer) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0, unprocessable(problem{
			Type: "int_parsing", Loc: loc, Input: encode(text),
			Msg: "Input should be a valid integer, unable to parse string as an integer",
		})
	}
	return n, nil
}

// text reads a string field, empty when it is absent or no string.
func text(fields object, name string) string {
	var s string
	if err := json.Unmarshal(fields[name], &s); err != nil {
		return ""
	}
	return s
}

// flag reads a boolean field, false when it is absent or no boolean.
func flag(fields object, name string) bool { return string(fields[name]) == "true" }
