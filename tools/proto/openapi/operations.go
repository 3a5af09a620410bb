package main

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

var (
	pathParam = regexp.MustCompile(`\{([a-z0-9_.]+)(?:=[^}]*)?\}`)
	codeName  = regexp.MustCompile(`\b[A-Z]+(?:_[A-Z]+)*\b`)
	mediaType = regexp.MustCompile(`\b(?:application|image|text)/[a-z0-9.+-]*[a-z0-9]`)
)

// httpStatuses are what the gateway makes of each gRPC code.
var httpStatuses = map[string]int{
	"INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403,
	"NOT_FOUND": 404, "ALREADY_EXISTS": 409, "ABORTED": 409, "RESOURCE_EXHAUSTED": 429, "CANCELLED": 499, "UNKNOWN": 500,
	"INTERNAL": 500, "DATA_LOSS": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}

// addMethod adds an operation for each HTTP binding of a method.
func (g *generator) addMethod(s *protogen.Service, m *protogen.Method) {
	rule, _ := proto.GetExtension(m.Desc.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule == nil {
		return
	}
	for i, binding := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		verb, template := "", ""
		switch p := binding.GetPattern().(type) {
		case *annotations.HttpRule_Get:
			verb, template = "get", p.Get
		case *annotations.HttpRule_Put:
			verb, template = "put", p.Put
		case *annotations.HttpRule_Post:
			verb, template = "post", p.Post
		case *annotations.HttpRule_Patch:
			verb, template = "patch", p.Patch
		case *annotations.HttpRule_Delete:
			verb, template = "delete", p.Delete
		default:
			g.fail(fmt.Errorf("%s has an HTTP binding of an unknown kind", m.Desc.FullName()))
			return
		}
		id := s.GoName + "_" + m.GoName
		if i > 0 {
			id += "_" + strconv.Itoa(i+1)
		}
		op := g.operation(s, m, binding, template)
		op["operationId"], op["tags"] = id, []string{s.GoName}
		path := pathParam.ReplaceAllString(template, "{$1}")
		at := slices.IndexFunc(g.paths, func(p member) bool { return p.key == path })
		if at < 0 {
			at, g.paths = len(g.paths), append(g.paths, member{path, object{}})
		}
		item := g.paths[at].value.(object)
		if item[verb] != nil {
			g.fail(fmt.Errorf("%s: %s %s has a method already", m.Desc.FullName(), verb, path))
		}
		item[verb] = op
	}
}

// operation describes one binding, without its id.
func (g *generator) operation(s *protogen.Service, m *protogen.Method, binding *annotations.HttpRule, template string) object {
	text := comment(m.Comments)
	summary, _, _ := strings.Cut(text, ". ")
	op := object{
		"summary":     strings.TrimSuffix(summary, "."),
		"description": join(text, stringOr(g.celTexts(m.Input.Desc.Options()), "The request must obey:\n")),
		"responses":   g.responses(s, m, binding.GetBody() != ""),
	}
	params, inPath := []object{}, []string{}
	for _, match := range pathParam.FindAllStringSubmatch(template, -1) {
		inPath = append(inPath, match[1])
		field := findField(m.Input, match[1])
		if field == nil {
			g.fail(fmt.Errorf("%s: the path names the unknown field %s", m.Desc.FullName(), match[1]))
			return op
		}
		params = append(params, g.parameter("path", match[1], field))
	}
	body := func(schema object) {
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": schema}}}
	}
	switch name := binding.GetBody(); name {
	case "*":
		body(g.ref(m.Input.Desc))
		g.addMessage(m.Input)
	default:
		if field := findField(m.Input, name); field != nil {
			body(g.field(field))
		}
		params = append(params, g.queryOf(m.Input, "", append(inPath, name), nil)...)
	}
	if isFile(m) {
		for name, text := range map[string]string{
			"Range":    "bytes=OFFSET- for the rest of a file of which a part has arrived; needs If-Range.",
			"If-Range": "The ETag of that part. If the file is another one now, all of it is sent.",
		} {
			params = append(params, object{"in": "header", "name": name, "description": text, "schema": object{"type": "string"}})
		}
		slices.SortStableFunc(params[len(params)-2:], func(a, b object) int { return strings.Compare(a["name"].(string), b["name"].(string)) })
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if o, ok := m.Desc.Options().(*descriptorpb.MethodOptions); ok && o.GetDeprecated() {
		op["deprecated"] = true
	}
	return op
}

func stringOr(text, before string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// findField returns the field of a dotted name, or nil.
func findField(in *protogen.Message, path string) *protogen.Field {
	name, rest, nested := strings.Cut(path, ".")
	for _, f := range in.Fields {
		switch {
		case string(f.Desc.Name()) != name:
		case !nested:
			return f
		case f.Message != nil:
			return findField(f.Message, rest)
		}
	}
	return nil
}

// queryOf makes a parameter of each field that a query can hold: no map, no
// list of messages and no message within itself.
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
	for _, key := range []string{"description", "deprecated"} {
		if schema[key] != nil {
			p[key] = schema[key]
			delete(schema, key)
		}
	}
	delete(schema, "writeOnly")
	if in == "path" || isRequired(f) && !strings.Contains(name, ".") {
		p["required"] = true
	}
	return p
}

// responses are those of success, of each error that the comments of service,
// method and request name, and of those that any call can end with.
func (g *generator) responses(s *protogen.Service, m *protogen.Method, body bool) object {
	texts := []string{"INVALID_ARGUMENT UNAUTHENTICATED PERMISSION_DENIED RESOURCE_EXHAUSTED INTERNAL UNAVAILABLE DEADLINE_EXCEEDED",
		comment(s.Comments), comment(m.Comments), comment(m.Input.Comments)}
	for _, f := range m.Input.Fields {
		texts = append(texts, comment(f.Comments))
	}
	out := object{"default": g.errorResponse(0)}
	for _, name := range codeName.FindAllString(strings.Join(texts, " "), -1) {
		if status := httpStatuses[name]; status != 0 {
			out[strconv.Itoa(status)] = g.errorResponse(status)
		}
	}
	if body {
		out["413"] = g.errorResponse(http.StatusRequestEntityTooLarge)
	}
	ok := object{"description": "The answer.", "content": object{"application/json": object{"schema": g.ref(m.Output.Desc)}}}
	switch {
	case isFile(m):
		ok = g.fileResponse(m)
		out["206"] = object{"description": "The part of the file that Range and If-Range ask for.", "content": ok["content"]}
		out["416"] = g.errorResponse(http.StatusRequestedRangeNotSatisfiable)
	case m.Desc.IsStreamingServer():
		g.addMessage(m.Output)
		item := object{"schema": object{"type": "string"}, "x-item-schema": g.ref(m.Output.Desc)}
		ok = object{
			"description": fmt.Sprintf("A stream of JSON objects, each a %s: one per line, or one per event.", g.schemaName(m.Output.Desc)),
			"content":     object{"application/x-ndjson": item, "text/event-stream": item},
		}
	default:
		g.addMessage(m.Output)
	}
	out["200"] = ok
	return out
}

// fileResponse describes a file. Its media types are those that the comments
// of the request's enum values name, besides the one of any bytes.
func (g *generator) fileResponse(m *protogen.Method) object {
	binary := object{"schema": object{"type": "string", "format": "binary"}}
	content := list{{"application/octet-stream", binary}}
	for _, f := range m.Input.Fields {
		if f.Enum == nil {
			continue
		}
		for _, v := range f.Enum.Values {
			for _, name := range mediaType.FindAllString(comment(v.Comments), -1) {
				if !slices.ContainsFunc(content, func(c member) bool { return c.key == name }) {
					content = append(content, member{name, binary})
				}
			}
		}
	}
	text := `The file itself, with its own media type in Content-Type and its name in Content-Disposition. ` +
		`A transfer that fails is aborted, so a body that ends well is whole. With "Accept-Ranges: bytes", ` +
		`Range and If-Range with its ETag resume it; without, it has no ranges and may have no Content-Length. HEAD answers the headers only.`
	return object{"description": text, "content": content}
}

// errorResponse refers to the error of an HTTP status; 0 is any.
func (g *generator) errorResponse(status int) object {
	name, text := "AnyError", "Any error."
	if status != 0 {
		name = strings.ReplaceAll(http.StatusText(status), " ", "")
		var from []string
		for _, c := range slices.Sorted(maps.Keys(httpStatuses)) {
			if httpStatuses[c] == status {
				from = append(from, c)
			}
		}
		switch status {
		case http.StatusRequestEntityTooLarge:
			from = []string{"RESOURCE_EXHAUSTED: the body is too large"}
		case http.StatusRequestedRangeNotSatisfiable:
			from = []string{"OUT_OF_RANGE: the range begins at the end of the file"}
		case 499: // net/http has no name for it
			name = "ClientClosedRequest"
		}
		text = strings.Join(from, " or ") + "."
	}
	g.statuses[name] = object{"description": text, "content": object{"application/json": object{"schema": object{"$ref": schemaPath + "ErrorResponse"}}}}
	return object{"$ref": "#/components/responses/" + name}
}
