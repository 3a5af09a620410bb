package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// document is a response of one JSON value.
type document struct{ value any }

// write writes the value.
func (d document) write(w http.ResponseWriter) error { return writeJSON(w, http.StatusOK, d.value) }

// writeJSON writes a whole response. If the value cannot be encoded, it writes an
// internal error: without a response the client would repeat its POST.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = statusServerError, []byte(`{"detail":"the response could not be encoded","reason":"`+reasonInternalError+`"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, writeErr := w.Write(append(body, '\n'))
	return errors.Join(err, writeErr)
}

// decode parses the JSON body of a request. Its errors name the field and never include
// the value, which may be a password.
func decode(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if e.Field == "" {
			return invalid("the body must be a JSON object")
		}
		return invalid(e.Field + " has a value of the wrong type")
	}
	if field, unknown := unknownField(err); unknown {
		return invalid("there is no field " + field)
	}
	if err != nil || dec.More() {
		return invalid("the body must be one JSON object")
	}
	return nil
}

// unknownField returns the name of the unknown field in an error; encoding/json has no
// type for this error.
func unknownField(err error) (quoted string, unknown bool) {
	if err == nil {
		return "", false
	}
	return strings.CutPrefix(err.Error(), "json: unknown field ")
}

// seconds converts a time to seconds since 1970, or null.
func seconds(t *timestamppb.Timestamp) *float64 {
	if t == nil {
		return nil
	}
	s := float64(t.GetSeconds()) + float64(t.GetNanos())/1e9
	return &s
}

// isFinite reports whether a number is neither NaN nor ±Inf.
func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// finite returns a number, or null.
func finite(v *float64) *number { return (*number)(v) }

// texts returns a list that is never null.
func texts(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// plainValues converts free-form values to plain JSON.
func plainValues(values map[string]*runicornapiv1.Value) map[string]any {
	out := make(map[string]any, len(values))
	for name, v := range values {
		out[name] = plainValue(v)
	}
	return out
}

// plainValue converts one value to plain JSON.
func plainValue(v *runicornapiv1.Value) any {
	switch kind := v.GetKind().(type) {
	case *runicornapiv1.Value_Number:
		return number(kind.Number)
	case *runicornapiv1.Value_Integer:
		return kind.Integer
	case *runicornapiv1.Value_Boolean:
		return kind.Boolean
	case *runicornapiv1.Value_Text:
		return kind.Text
	case *runicornapiv1.Value_Json:
		if raw := json.RawMessage(kind.Json); json.Valid(raw) {
			return raw
		}
		return kind.Json
	}
	return nil
}
