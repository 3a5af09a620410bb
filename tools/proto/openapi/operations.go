package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// errorStatuses maps the HTTP statuses of errors to their gRPC codes.
var errorStatuses = map[string]string{
	"400": "INVALID_ARGUMENT, FAILED_PRECONDITION or OUT_OF_RANGE.", "401": "UNAUTHENTICATED.", "403": "PERMISSION_DENIED.",
	"404": "NOT_FOUND.", "409": "ALREADY_EXISTS or ABORTED.", "413": "RESOURCE_EXHAUSTED: the body is too large.",
	"416": "OUT_OF_RANGE: the range starts after the end of the file.", "429": "RESOURCE_EXHAUSTED.",
	"500": "INTERNAL, UNKNOWN or DATA_LOSS.", "501": "UNIMPLEMENTED.", "503": "UNAVAILABLE.", "504": "DEADLINE_EXCEEDED.",
	"default": "Any error.",
}

func errorResponses() object {
	out, content := object{}, object{"application/json": object{"schema": object{"$ref": schemaPath + "ErrorResponse"}}}
	for status, codes := range errorStatuses {
		out["Error_"+status] = object{"description": codes, "content": content}
	}
	return out
}

// binding is one HTTP form of a method.
type binding struct {
	verb, path, body string
	params           []string // fields in the path
}

var (
	pathParam = regexp.MustCompile(`\{([a-z0-9_.]+)(?:=[^}]*)?\}`)
	mediaType = regexp.MustCompile(`\b(?:application|image|text)/[a-z0-9.+-]*[a-z0-9]`)
)

func bindings(m *protogen.Method) (all []binding) {
	rule, _ := proto.GetExtension(m.Desc.Options(), annotations.E_Http).(*annotations.HttpRule)
	for _, rule := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		r := rule.ProtoReflect()
		if f := r.WhichOneof(r.Descriptor().Oneofs().ByName("pattern")); f != nil {
			template := r.Get(f).String()
			// A path parameter is named after the last part of its field: generators drop
			// dots, and two paths must not differ in parameter names only.
			path := pathParam.ReplaceAllStringFunc(template, func(p string) string {
				return "{" + lastName(pathParam.FindStringSubmatch(p)[1]) + "}"
			})
			b := binding{verb: string(f.Name()), path: path, body: rule.GetBody()}
			for _, match := range pathParam.FindAllStringSubmatch(template, -1) {
				b.params = append(b.params, match[1])
			}
			all = append(all, b)
		}
	}
	return all
}

// addMethod adds an operation for each HTTP form of a method.
func (g *generator) addMethod(s *protogen.Service, m *protogen.Method) {
	for i, b := range bindings(m) {
		op := g.operation(s, m, b)
		op["operationId"], op["tags"] = s.GoName+"_"+m.GoName, []string{s.GoName}
		if i > 0 {
			op["operationId"] = fmt.Sprintf("%s_%s_%d", s.GoName, m.GoName, i+1)
		}
		at := slices.IndexFunc(g.paths, func(p member) bool { return p.key == b.path })
		if at < 0 {
			at, g.paths = len(g.paths), append(g.paths, member{b.path, object{}})
		}
		item := g.paths[at].value.(object)
		if item[b.verb] != nil {
			g.err = fmt.Errorf("%s: another method has %s %s", m.Desc.FullName(), b.verb, b.path)
		}
		item[b.verb] = op
	}
}

func (g *generator) operation(s *protogen.Service, m *protogen.Method, b binding) object {
	summary, _, _ := strings.Cut(text(m.Comments), ". ")
	op := object{"summary": strings.TrimSuffix(summary, "."), "responses": g.responses(s, m, b.body != "")}
	describe(op, m.Desc.Options(), text(m.Comments), celRules(m.Input))
	params := []object{}
	for _, name := range b.params {
		if f := findField(m.Input, name); f != nil {
			params = append(params, g.parameter("path", lastName(name), f))
		}
	}
	var body object
	if b.body == "*" {
		body = g.message(m.Input)
	} else {
		if f := findField(m.Input, b.body); f != nil {
			body = g.field(f)
		}
		params = append(params, g.queryOf(m.Input, "", append(b.params, b.body), nil)...)
	}
	if body != nil {
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": body}}}
	}
	if isFile(m) {
		params = append(params,
			object{"in": "header", "name": "Range", "schema": object{"type": "string"}, "description": "One range of bytes: bytes=2-7, bytes=2- or bytes=-4."},
			object{"in": "header", "name": "If-Range", "schema": object{"type": "string"}, "description": "The ETag of the file that the range is of. If the file is another one now, all of it is sent."})
	}
	op["parameters"] = params
	return op
}

// lastName returns the part after the last dot.
func lastName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// findField returns the field of a dotted name, or nil.
func findField(in *protogen.Message, path string) *protogen.Field {
	name, rest, nested := strings.Cut(path, ".")
	i := slices.IndexFunc(in.Fields, func(f *protogen.Field) bool { return string(f.Desc.Name()) == name })
	switch {
	case i < 0:
		return nil
	case nested && in.Fields[i].Message != nil:
		return findField(in.Fields[i].Message, rest)
	}
	return in.Fields[i]
}

// queryOf returns a parameter for each field that a query can have: no maps, lists of
// messages or recursive messages.
func (g *generator) queryOf(in *protogen.Message, prefix string, except []string, above []protoreflect.FullName) (params []object) {
	above = append(slices.Clip(above), in.Desc.FullName())
	for _, f := range in.Fields {
		name := prefix + string(f.Desc.Name())
		switch {
		case slices.Contains(except, name), f.Desc.IsMap():
		case f.Message == nil, scalarMessage(f.Message.Desc) != nil:
			params = append(params, g.parameter("query", name, f))
		case !f.Desc.IsList() && f.Message.Desc.ParentFile().Package() != wellKnown && !slices.Contains(above, f.Message.Desc.FullName()):
			params = append(params, g.queryOf(f.Message, name+".", except, above)...)
		}
	}
	return params
}

func (g *generator) parameter(in, name string, f *protogen.Field) object {
	schema := g.field(f)
	p := object{"in": in, "name": name, "schema": schema}
	description, _ := schema["description"].(string)
	describe(p, f.Desc.Options(), description)
	for _, key := range []string{"description", "deprecated", "readOnly", "writeOnly"} {
		delete(schema, key)
	}
	if in == "path" || isRequired(f) && !strings.Contains(name, ".") {
		p["required"] = true
	}
	return p
}

// isFile reports whether a method sends a file: a stream of a header, chunks of bytes and a
// trailer, which HTTP turns into the file.
func isFile(m *protogen.Method) bool {
	fields := m.Output.Desc.Fields()
	header, chunk, trailer := fields.ByName("header"), fields.ByName("chunk"), fields.ByName("trailer")
	return m.Desc.IsStreamingServer() && fields.Len() == 3 && header != nil && trailer != nil &&
		chunk != nil && chunk.Kind() == protoreflect.BytesKind && chunk.ContainingOneof() != nil
}

// responses returns the answers of a method. An error code that not every method has is
// included if the comments of the service, the method or the request name it.
func (g *generator) responses(s *protogen.Service, m *protogen.Method, body bool) object {
	comments := text(s.Comments) + text(m.Comments) + text(m.Input.Comments)
	for _, f := range m.Input.Fields {
		comments += text(f.Comments)
	}
	special := map[string]bool{
		"409": strings.Contains(comments, "ALREADY_EXISTS") || strings.Contains(comments, "ABORTED"),
		"413": body, "416": isFile(m), "501": strings.Contains(comments, "UNIMPLEMENTED"),
	}
	out := object{}
	for status := range errorStatuses {
		if answers, isSpecial := special[status]; answers || !isSpecial {
			out[status] = object{"$ref": "#/components/responses/Error_" + status}
		}
	}
	switch {
	case isFile(m):
		out["200"] = object{"content": fileContent(m), "description": `The file itself, with its own media type in Content-Type and its name in Content-Disposition. ` +
			`A transfer that fails is aborted, so a body that ends well is whole. With "Accept-Ranges: bytes", it has an ETag and one Range of it ` +
			`is served; with "Accept-Ranges: none" it has no ranges and may have no Content-Length. HEAD answers the headers only.`}
		out["206"] = object{"description": "The requested range of the file.", "content": fileContent(m)}
	case m.Desc.IsStreamingServer():
		item := object{"schema": object{"type": "string"}, "x-item-schema": g.message(m.Output)}
		out["200"] = object{
			"description": fmt.Sprintf("A stream of JSON objects, each a %s: one per line, or one per event.", g.schemaName(m.Output.Desc)),
			"content":     object{"application/x-ndjson": item, "text/event-stream": item},
		}
	default:
		out["200"] = object{"description": "The answer.", "content": object{"application/json": object{"schema": g.message(m.Output)}}}
	}
	return out
}

// fileContent returns the media types named in the comments of the request's enums, after
// the one for any bytes.
func fileContent(m *protogen.Method) (content list) {
	names := []string{}
	for _, f := range m.Input.Fields {
		if f.Enum != nil {
			names = append(names, mediaType.FindAllString(valueList(f.Enum, ""), -1)...)
		}
	}
	slices.Sort(names)
	for _, name := range append([]string{"application/octet-stream"}, slices.Compact(names)...) {
		content = append(content, member{name, object{"schema": object{"type": "string", "format": "binary"}}})
	}
	return content
}
