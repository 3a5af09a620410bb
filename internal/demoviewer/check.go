package demoviewer

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// runIDForm is the form of a run id that the Viewer's changing routes require.
var runIDForm = regexp.MustCompile(`^[0-9]{8}_[0-9]{6}_[a-f0-9]{6}$`)

// invalidID is the 400 of a changing route for an id of another form.
func invalidID(id any) Answer { return badRequest(fmt.Sprintf("Invalid run_id format: %v", id)) }

// Object is a JSON object body; any other body is empty.
type Object map[string]json.RawMessage

// Fields reads the body.
func (c *Call) Fields() Object {
	var fields Object
	if err := json.Unmarshal(c.Body, &fields); err != nil {
		return nil
	}
	return fields
}

// Text returns a string field, empty if it is absent or not a string.
func (o Object) Text(name string) string {
	var s string
	if err := json.Unmarshal(o[name], &s); err != nil {
		return ""
	}
	return s
}

// isTrue returns a boolean field, false if it is absent or not a boolean.
func (o Object) isTrue(name string) bool { return string(o[name]) == "true" }

// runIDs returns the validated run_ids of a batch; verb and limit are for the messages.
func (c *Call) runIDs(verb string, limit int) ([]string, *Answer) {
	fail := func(a Answer) ([]string, *Answer) { return nil, &a }
	var ids []any
	if err := json.Unmarshal(c.Fields()["run_ids"], &ids); err != nil || len(ids) == 0 {
		return fail(badRequest("run_ids is required and must be a list"))
	}
	if len(ids) > limit {
		return fail(badRequest(fmt.Sprintf("Cannot %s more than %d runs at once", verb, limit)))
	}
	checked := make([]string, 0, len(ids))
	for _, raw := range ids {
		id, isString := raw.(string)
		if !isString || !runIDForm.MatchString(id) {
			return fail(invalidID(raw))
		}
		checked = append(checked, id) // duplicates are kept: the second one fails, as in the real Viewer
	}
	return checked, nil
}
