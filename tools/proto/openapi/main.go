// Command openapi is a protoc plugin that describes the HTTP form of the
// contract as one OpenAPI 3.1 document, runicorn.openapi.json. It describes
// what the server really sends: doubles that may be NaN, 64-bit integers as
// strings, one shape of errors, files, and streams of JSON. It knows no name
// of the contract but that of the enum of error reasons.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/pluginpb"
)

const about = `One API in front of Runicorn Viewers, the same over gRPC and over HTTP.

A 64-bit integer is a string. A double is a number or one of the strings NaN, Infinity and -Infinity. In an answer, fields without presence are always there; a field that is absent is not known. Unknown parameters and unknown fields of a body are refused. In a query, the prefix of an enum value may be left out and letter case does not count: format=csv.

HEAD is answered wherever GET is.

A stream is one JSON object per line, or, with "Accept: text/event-stream", server-sent events. OpenAPI 3.1 cannot describe the items of a stream: the body is a string here, the extension x-item-schema refers to the schema of each item. An error after the first item is the last line, or the event "status", and has the shape of every error.

Every error is an ErrorResponse.`

// object is a JSON object with sorted keys. list is one in the given order.
type (
	object = map[string]any
	list   []member
	member struct {
		key   string
		value any
	}
)

// MarshalJSON keeps the order of the members.
func (l list) MarshalJSON() ([]byte, error) {
	out := []byte("{")
	for i, m := range l {
		value, err := marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		if i > 0 {
			out = append(out, ',')
		}
		key, err := marshal(m.key)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}'), nil
}

// marshal is json.Marshal without the escapes of HTML.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func main() {
	protogen.Options{}.Run(func(p *protogen.Plugin) error {
		p.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		doc, err := newGenerator(p).document()
		if err != nil {
			return err
		}
		text, err := marshal(doc)
		if err != nil {
			return fmt.Errorf("marshal the document: %w", err)
		}
		var out bytes.Buffer
		if err := json.Indent(&out, text, "", " "); err != nil {
			return fmt.Errorf("indent the document: %w", err)
		}
		out.WriteByte('\n')
		_, err = p.NewGeneratedFile("runicorn.openapi.json", "").Write(out.Bytes())
		return err
	})
}

// generator collects the document.
type generator struct {
	files []*protogen.File // those of the contract
	// requests and answers are the messages that each of them reaches.
	requests, answers map[protoreflect.FullName]bool
	paths             list
	tags              []object
	schemas, statuses object
	// owners are the protobuf names of the schemas.
	owners map[string]protoreflect.FullName
	// reasons describes the reasons of errors.
	reasons string
	err     error
}

func newGenerator(p *protogen.Plugin) *generator {
	g := &generator{
		requests: map[protoreflect.FullName]bool{}, answers: map[protoreflect.FullName]bool{},
		schemas: object{}, statuses: object{}, owners: map[string]protoreflect.FullName{},
		reasons: "Why, for programs.",
	}
	for _, f := range p.Files {
		if !f.Generate {
			continue
		}
		g.files = append(g.files, f)
		for _, e := range f.Enums {
			if e.Desc.Name() == "ErrorReason" { // no message uses it: it travels as text
				g.reasons = "Why, for programs: the name of a value below. More may be added.\n" + g.valueList(e, "ERROR_REASON_")
			}
		}
		for _, s := range f.Services {
			for _, m := range s.Methods {
				reach(m.Input, g.requests)
				if !isFile(m) {
					reach(m.Output, g.answers)
				}
			}
		}
	}
	return g
}

// reach adds a message and all that its fields hold.
func reach(m *protogen.Message, to map[protoreflect.FullName]bool) {
	if to[m.Desc.FullName()] {
		return
	}
	to[m.Desc.FullName()] = true
	for _, f := range m.Fields {
		if f.Message != nil {
			reach(f.Message, to)
		}
	}
}

// isFile tells whether a method sends a file: a stream of a header, chunks of
// bytes and a trailer, which HTTP gets as the file itself.
func isFile(m *protogen.Method) bool {
	if !m.Desc.IsStreamingServer() || len(m.Output.Oneofs) != 1 || len(m.Output.Fields) != 3 {
		return false
	}
	names := []string{}
	for _, f := range m.Output.Oneofs[0].Fields {
		names = append(names, string(f.Desc.Name()))
	}
	return strings.Join(names, " ") == "header chunk trailer"
}

func (g *generator) document() (list, error) {
	g.addErrors()
	version := ""
	for _, f := range g.files {
		version = string(f.Desc.Package().Name())
		for _, s := range f.Services {
			g.tags = append(g.tags, object{"name": s.GoName, "description": comment(s.Comments)})
			for _, m := range s.Methods {
				g.addMethod(s, m)
			}
		}
	}
	if len(g.paths) == 0 {
		g.fail(errors.New("no method has an HTTP binding"))
	}
	return list{
		{"openapi", "3.1.0"},
		{"info", list{{"title", "runicorn-grpc"}, {"version", version}, {"description", about}}},
		{"servers", []object{{"url": "/"}}},
		{"security", []object{{"bearer": []string{}}, {}}},
		{"tags", g.tags},
		{"paths", g.paths},
		{"components", list{
			{"securitySchemes", object{"bearer": object{
				"type": "http", "scheme": "bearer", "description": "Needed if the server was started with --auth-token-file.",
			}}},
			{"responses", g.statuses},
			{"schemas", g.schemas},
		}},
	}, g.err
}

// fail keeps the first error.
func (g *generator) fail(err error) {
	if g.err == nil {
		g.err = err
	}
}

// comment is the text of a comment, one line per paragraph or item of a list.
func comment(c protogen.CommentSet) string {
	var out strings.Builder
	for line := range strings.Lines(string(c.Leading)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "- "):
			out.WriteString("\n")
		case out.Len() > 0 && !strings.HasSuffix(out.String(), "\n"):
			out.WriteString(" ")
		}
		if line == "" {
			out.WriteString("\n")
		}
		out.WriteString(line)
	}
	return strings.TrimSpace(out.String())
}

// join puts texts into one, each in its own paragraph.
func join(texts ...string) string {
	var out []string
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return strings.Join(out, "\n\n")
}
