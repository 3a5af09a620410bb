package httpface

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// object is a JSON object whose values keep their bytes, and so the order of
// what is in them: fields stay in the order of the contract.
type object map[string]json.RawMessage

// apiDescription introduces the document.
const apiDescription = `One API in front of Runicorn Viewers, the same over gRPC and over HTTP.

A 64-bit integer is a string; NaN, Infinity and -Infinity are strings. Fields without presence are always there; an absent field is not known. Unknown parameters and unknown fields of a body are refused.

A stream is one line of JSON for each message, or with "Accept: text/event-stream" server-sent events. If an error ends it, that is the last line, or the event "status".

Errors have one shape, see Error; what each reason means is in error_reason.proto.`

// fixedParts replace parts of the generated document. It names no host: it is
// that of the server that it came from.
var fixedParts = map[string]any{
	"securityDefinitions": map[string]any{"bearer": map[string]string{
		"type": "apiKey", "in": "header", "name": "Authorization",
		"description": `"Bearer TOKEN", if the server was started with --auth-token-file.`,
	}},
	"security": []map[string][]string{{"bearer": {}}, {}},
}

// errorSchema describes errorBody.
var errorSchema = map[string]any{
	"type": "object",
	"properties": map[string]any{"error": map[string]any{
		"type": "object",
		"properties": map[string]any{
			"code":    map[string]string{"type": "integer", "description": "The gRPC code."},
			"status":  map[string]string{"type": "string", "description": "Its name, such as NOT_FOUND."},
			"reason":  map[string]string{"type": "string", "description": "Why, by the names of ErrorReason, such as RUN_NOT_FOUND."},
			"message": map[string]string{"type": "string", "description": "The same for people."},
			"details": map[string]any{
				"type": "array", "items": map[string]string{"$ref": "#/definitions/protobufAny"},
				"description": "ErrorInfo, and what else fits: BadRequest names fields, RetryInfo says when to try again.",
			},
		},
	}},
}

// openAPIDocument makes the generated document tell what this package serves.
func openAPIDocument(generated []byte, version string) ([]byte, error) {
	var doc, definitions object
	if err := json.Unmarshal(generated, &doc); err != nil {
		return nil, fmt.Errorf("read the generated document: %w", err)
	}
	if err := json.Unmarshal(doc["definitions"], &definitions); err != nil {
		return nil, fmt.Errorf("read its definitions: %w", err)
	}
	paths, err := fixPaths(doc["paths"])
	if err != nil {
		return nil, err
	}
	parts := map[string]any{
		"info":        map[string]string{"title": "runicorn-grpc", "version": version, "description": apiDescription},
		"paths":       paths,
		"definitions": definitions,
	}
	if definitions["Error"], err = json.Marshal(errorSchema); err != nil {
		return nil, fmt.Errorf("write the schema of errors: %w", err)
	}
	for _, group := range []map[string]any{parts, fixedParts} {
		for key, value := range group {
			if doc[key], err = json.Marshal(value); err != nil {
				return nil, fmt.Errorf("write %s: %w", key, err)
			}
		}
	}
	for _, key := range []string{"host", "basePath", "schemes"} {
		delete(doc, key)
	}
	return json.Marshal(doc)
}

// fixPaths gives every operation the errors and streams that it really has.
func fixPaths(raw json.RawMessage) (map[string]map[string]object, error) {
	var paths map[string]map[string]object
	if err := json.Unmarshal(raw, &paths); err != nil {
		return nil, fmt.Errorf("read its paths: %w", err)
	}
	for path, operations := range paths {
		for method, operation := range operations {
			if err := fixOperation(operation); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
		}
	}
	return paths, nil
}

// streamSchema is how the generator describes a message of a stream: as the
// gateway's own marshaler would write it.
type streamSchema struct {
	Properties struct {
		Result json.RawMessage `json:"result"`
	} `json:"properties"`
}

func fixOperation(operation object) error {
	var responses map[string]object
	if err := json.Unmarshal(operation["responses"], &responses); err != nil {
		return fmt.Errorf("read the responses: %w", err)
	}
	ok := responses["200"]
	if bytes.Contains(ok["description"], []byte("(streaming responses)")) {
		var s streamSchema
		if err := json.Unmarshal(ok["schema"], &s); err != nil {
			return fmt.Errorf("read the schema of a stream: %w", err)
		}
		if describesFile(s.Properties.Result) {
			ok["schema"] = json.RawMessage(`{"type":"file"}`)
			ok["description"] = json.RawMessage(`"The file itself. A transfer that fails is aborted."`)
			operation["produces"] = json.RawMessage(`["application/octet-stream"]`)
		} else {
			ok["schema"] = s.Properties.Result
			ok["description"] = json.RawMessage(`"One of these for each message of the stream."`)
			operation["produces"] = json.RawMessage(`["` + mediaLines + `","` + mediaEvents + `"]`)
		}
	}
	responses["default"] = object{
		"description": json.RawMessage(`"An error."`),
		"schema":      json.RawMessage(`{"$ref":"#/definitions/Error"}`),
	}
	fixed, err := json.Marshal(responses)
	operation["responses"] = fixed
	return err
}

// describesFile tells whether a schema is that of the parts of a file, which
// this package joins.
func describesFile(schema json.RawMessage) bool {
	var ref struct {
		Ref string `json:"$ref"`
	}
	if json.Unmarshal(schema, &ref) != nil {
		return false
	}
	name := protoreflect.FullName("runicornapi.v1." + strings.TrimPrefix(ref.Ref, "#/definitions/v1"))
	message, err := protoregistry.GlobalTypes.FindMessageByName(name)
	return err == nil && isFile(message.Descriptor())
}
