// Command openapi is a protoc plugin that describes the HTTP form of the contract as one
// OpenAPI 3.1 document, runicorn.openapi.json. It describes what the server really sends:
// doubles that may be NaN, 64-bit integers as strings, one schema of errors, files, and
// streams of JSON. base.json has the parts that do not depend on the contract. The plugin
// hard-codes only one name of the contract, the enum of error reasons.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/pluginpb"
)

//go:embed base.json
var base []byte

// object is a JSON object with sorted keys, list one with ordered keys.
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
	var parts [][]byte
	for _, m := range l {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		parts = append(parts, fmt.Appendf(nil, "%q:%s", m.key, value))
	}
	return fmt.Appendf(nil, "{%s}", bytes.Join(parts, []byte(","))), nil
}

func main() {
	protogen.Options{}.Run(func(p *protogen.Plugin) error {
		p.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		doc, err := document(p)
		if err != nil {
			return err
		}
		enc := json.NewEncoder(p.NewGeneratedFile("runicorn.openapi.json", ""))
		enc.SetIndent("", " ")
		return enc.Encode(doc)
	})
}

// generator collects the parts of the document.
type generator struct {
	pkg protoreflect.FullName // of the contract
	// requests and answers are the messages reachable from them; inPath are the fields in
	// paths.
	requests, answers, inPath map[protoreflect.FullName]bool
	paths                     list
	schemas                   object
	owners                    map[string]protoreflect.FullName // of schema names
	err                       error                            // the first
}

func document(p *protogen.Plugin) (list, error) {
	var doc object
	if err := json.Unmarshal(base, &doc); err != nil {
		return nil, fmt.Errorf("read base.json: %w", err)
	}
	components := doc["components"].(object)
	g := &generator{
		requests: map[protoreflect.FullName]bool{}, answers: map[protoreflect.FullName]bool{}, inPath: map[protoreflect.FullName]bool{},
		schemas: components["schemas"].(object), owners: map[string]protoreflect.FullName{},
	}
	var services []*protogen.Service
	for _, f := range p.Files {
		if !f.Generate {
			continue
		}
		g.pkg = f.Desc.Package()
		services = append(services, f.Services...)
		for _, e := range f.Enums {
			if e.Desc.Name() == "ErrorReason" { // no message has it: it is sent as text
				describe(g.schemas["ErrorReasonName"].(object), nil, "Why, for programs: the name of a value below. More may be added.", valueList(e, "ERROR_REASON_"))
			}
		}
	}
	tags := []object{}
	for _, s := range services {
		tags = append(tags, object{"name": s.GoName, "description": text(s.Comments)})
		for _, m := range s.Methods {
			g.survey(m)
		}
	}
	for _, s := range services {
		for _, m := range s.Methods {
			g.addMethod(s, m)
		}
	}
	components["responses"] = errorResponses()
	doc["info"].(object)["version"] = string(g.pkg.Name())
	doc["tags"], doc["paths"] = tags, g.paths
	var ordered list
	for _, key := range []string{"openapi", "info", "servers", "security", "tags", "paths", "components"} {
		ordered = append(ordered, member{key, doc[key]})
	}
	return ordered, g.err
}

// survey records the messages in the requests and answers of a method.
func (g *generator) survey(m *protogen.Method) {
	reach(m.Input, g.requests)
	if !isFile(m) {
		reach(m.Output, g.answers)
	}
	for _, b := range bindings(m) {
		for _, name := range b.params {
			if f := findField(m.Input, name); f != nil {
				g.inPath[f.Desc.FullName()] = true
			} else {
				g.err = fmt.Errorf("%s: the path names the unknown field %s", m.Desc.FullName(), name)
			}
		}
	}
}

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

// lineBreak matches a line break within a paragraph; a list item or a line of code
// starts a new line.
var lineBreak = regexp.MustCompile(`([^\n])\n([^\n\t-])`)

// text returns a comment without line breaks within paragraphs.
func text(c protogen.CommentSet) string {
	lines := strings.ReplaceAll(strings.TrimSpace(string(c.Leading)), "\n ", "\n")
	return lineBreak.ReplaceAllString(lines, "$1 $2")
}

// describe adds the description of an operation or schema: texts, each in its own
// paragraph, and whether it is deprecated.
func describe(o object, options protoreflect.ProtoMessage, texts ...string) {
	texts = slices.DeleteFunc(texts, func(t string) bool { return t == "" })
	if len(texts) > 0 {
		o["description"] = strings.Join(texts, "\n\n")
	}
	if d, ok := options.(interface{ GetDeprecated() bool }); ok && d.GetDeprecated() {
		o["deprecated"] = true
	}
}
