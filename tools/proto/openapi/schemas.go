package main

import (
	"fmt"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	schemaPath = "#/components/schemas/"
	wellKnown  = protoreflect.FullName("google.protobuf")
)

// addErrors adds the schemas that every document has.
func (g *generator) addErrors() {
	text := func(description string) object { return object{"type": "string", "description": description} }
	g.schemas["DoubleValue"] = object{
		"description": "A number. JSON has no form for those that are not finite: they are strings.",
		"oneOf":       []object{{"type": "number", "format": "double"}, {"$ref": schemaPath + "NonFinite"}},
	}
	g.schemas["NonFinite"] = object{"type": "string", "enum": []string{"NaN", "Infinity", "-Infinity"}, "description": "A number that is not finite."}
	g.schemas["ProtobufAny"] = object{
		"type": "object", "description": "A message of any type: its own fields beside the name of its type.",
		"properties": object{"@type": text("Its type, such as type.googleapis.com/google.rpc.ErrorInfo.")}, "additionalProperties": true,
	}
	g.schemas["ErrorResponse"] = object{
		"type": "object", "description": "The shape of every error.", "required": []string{"error"},
		"properties": object{"error": object{"$ref": schemaPath + "ErrorStatus"}},
	}
	g.schemas["ErrorStatus"] = object{
		"type": "object", "description": "An error.", "required": []string{"code", "status", "reason", "message", "details"},
		"properties": list{
			{"code", object{"type": "integer", "format": "int32", "description": "The gRPC code."}},
			{"status", text("Its name, such as NOT_FOUND.")},
			{"reason", text(g.reasons)},
			{"message", text("What is wrong, for people.")},
			{"details", object{
				"type": "array", "items": object{"$ref": schemaPath + "ProtobufAny"},
				"description": "google.rpc.ErrorInfo, and what else fits: BadRequest names fields, RetryInfo says when to try again.",
			}},
		},
	}
	for name := range g.schemas {
		g.owners[name] = wellKnown
	}
}

// schemaName is the name of a message or enum, without dots: its own name in
// the contract, with the last part of the package elsewhere.
func (g *generator) schemaName(d protoreflect.Descriptor) string {
	pkg := d.ParentFile().Package()
	name := strings.ReplaceAll(strings.TrimPrefix(string(d.FullName()), string(pkg)+"."), ".", "_")
	if pkg != g.files[0].Desc.Package() {
		last := string(pkg.Name())
		name = strings.ToUpper(last[:1]) + last[1:] + name
	}
	if owner, ok := g.owners[name]; ok && owner != d.FullName() && owner != wellKnown+".Any" {
		g.fail(fmt.Errorf("%s and %s have the same schema name %s", owner, d.FullName(), name))
	}
	g.owners[name] = d.FullName()
	return name
}

func (g *generator) ref(d protoreflect.Descriptor) object {
	return object{"$ref": schemaPath + g.schemaName(d)}
}

// addMessage adds the schema of a message, and those of all that it holds.
func (g *generator) addMessage(m *protogen.Message) {
	name := g.schemaName(m.Desc)
	if g.schemas[name] != nil {
		return
	}
	schema := object{"type": "object"}
	g.schemas[name] = schema
	texts := []string{comment(m.Comments)}
	for _, o := range m.Oneofs {
		if o.Desc.IsSynthetic() {
			continue
		}
		names := []string{}
		for _, f := range o.Fields {
			names = append(names, string(f.Desc.Name()))
		}
		texts = append(texts, "At most one of these fields is there: "+strings.Join(names, ", ")+".")
	}
	if text := join(append(texts, stringOr(g.celTexts(m.Desc.Options()), "It must obey:\n"))...); text != "" {
		schema["description"] = text
	}
	properties, required := list{}, []string{}
	for _, f := range m.Fields {
		properties = append(properties, member{string(f.Desc.Name()), g.field(f)})
		if g.isAlwaysThere(m, f) {
			required = append(required, string(f.Desc.Name()))
		}
	}
	if len(properties) > 0 {
		schema["properties"] = properties
	}
	if len(required) > 0 {
		schema["required"] = required
	}
	if o, ok := m.Desc.Options().(*descriptorpb.MessageOptions); ok && o.GetDeprecated() {
		schema["deprecated"] = true
	}
}

// isAlwaysThere tells whether a field is required: in an answer each without
// presence, in a request what must be set and cannot come in the path. Of a
// message that both have, nothing is.
func (g *generator) isAlwaysThere(m *protogen.Message, f *protogen.Field) bool {
	request, answer := g.requests[m.Desc.FullName()], g.answers[m.Desc.FullName()]
	if request {
		return !answer && isRequired(f) && !g.inPath(m, string(f.Desc.Name()))
	}
	return !f.Desc.HasPresence()
}

// inPath tells whether a path of a method with this request has the field.
func (g *generator) inPath(m *protogen.Message, name string) bool {
	for _, file := range g.files {
		for _, s := range file.Services {
			for _, method := range s.Methods {
				rule, _ := proto.GetExtension(method.Desc.Options(), annotations.E_Http).(*annotations.HttpRule)
				if method.Input == m && strings.Contains(rule.String(), "{"+name+"}") {
					return true
				}
			}
		}
	}
	return false
}

func hasBehavior(f *protogen.Field, b annotations.FieldBehavior) bool {
	all, _ := proto.GetExtension(f.Desc.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(all, b)
}

func isRequired(f *protogen.Field) bool {
	return hasBehavior(f, annotations.FieldBehavior_REQUIRED) || rulesOf(f).GetRequired()
}

func rulesOf(f *protogen.Field) *validate.FieldRules {
	rules, _ := proto.GetExtension(f.Desc.Options(), validate.E_Field).(*validate.FieldRules)
	return rules
}

// field is the schema of a field with its description and limits.
func (g *generator) field(f *protogen.Field) object {
	schema := g.single(f)
	switch {
	case f.Desc.IsMap():
		schema = object{"type": "object", "additionalProperties": g.single(f.Message.Fields[1])}
	case f.Desc.IsList():
		schema = object{"type": "array", "items": schema}
	}
	// Limits hold for requests; what Viewers send may be beyond them.
	texts := g.limit(schema, rulesOf(f), !g.answers[f.Parent.Desc.FullName()])
	for _, c := range rulesOf(f).GetCel() {
		texts = append(texts, c.GetMessage())
	}
	rules := ""
	if len(texts) > 0 {
		rules = "In a request: " + strings.Join(texts, ", ") + "."
	}
	if text := join(comment(f.Comments), rules); text != "" {
		schema["description"] = text
	}
	if o, ok := f.Desc.Options().(*descriptorpb.FieldOptions); ok && o.GetDeprecated() {
		schema["deprecated"] = true
	}
	if hasBehavior(f, annotations.FieldBehavior_OUTPUT_ONLY) && g.requests[f.Parent.Desc.FullName()] {
		schema["readOnly"] = true // elsewhere it says nothing: no request has the message
	}
	if hasBehavior(f, annotations.FieldBehavior_INPUT_ONLY) {
		schema["writeOnly"] = true
	}
	return schema
}

// single is the schema of one value of a field.
func (g *generator) single(f *protogen.Field) object {
	switch {
	case f.Enum != nil:
		name := g.schemaName(f.Enum.Desc)
		if g.schemas[name] == nil {
			values := []string{}
			for _, v := range f.Enum.Values {
				values = append(values, string(v.Desc.Name()))
			}
			g.schemas[name] = object{"type": "string", "enum": values, "description": join(comment(f.Enum.Comments), strings.TrimSpace(g.valueList(f.Enum, "")))}
		}
		return g.ref(f.Enum.Desc)
	case f.Message == nil:
		return scalar(f.Desc.Kind())
	case f.Desc.IsMap():
		return nil
	}
	if schema := scalarMessage(f.Message.Desc); schema != nil {
		return schema
	}
	if f.Message.Desc.ParentFile().Package() == wellKnown {
		switch f.Message.Desc.Name() {
		case "Any":
			return object{"$ref": schemaPath + "ProtobufAny"}
		case "Struct":
			return object{"type": "object", "additionalProperties": true}
		case "ListValue":
			return object{"type": "array", "items": object{}}
		case "Value":
			return object{}
		}
	}
	g.addMessage(f.Message)
	return g.ref(f.Message.Desc)
}

// valueList is a list of the values of an enum.
func (g *generator) valueList(e *protogen.Enum, prefix string) string {
	var out strings.Builder
	for _, v := range e.Values {
		fmt.Fprintf(&out, "\n- %s: %s", strings.TrimPrefix(string(v.Desc.Name()), prefix), comment(v.Comments))
	}
	return out.String()
}

// scalarMessage is the schema of a well-known message that JSON has a scalar
// for; nil for every other one.
func scalarMessage(m protoreflect.MessageDescriptor) object {
	if m.ParentFile().Package() != wellKnown {
		return nil
	}
	switch m.Name() {
	case "Timestamp":
		return object{"type": "string", "format": "date-time"}
	case "Duration":
		return object{"type": "string", "pattern": `^-?[0-9]+(\.[0-9]{1,9})?s$`}
	case "FieldMask":
		return object{"type": "string"}
	}
	if f := m.Fields().ByName("value"); f != nil && m.Fields().Len() == 1 && f.Message() == nil {
		return scalar(f.Kind()) // a wrapper, such as StringValue
	}
	return nil
}

func scalar(kind protoreflect.Kind) object {
	switch kind {
	case protoreflect.BoolKind:
		return object{"type": "boolean"}
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return object{"$ref": schemaPath + "DoubleValue"}
	case protoreflect.BytesKind:
		return object{"type": "string", "format": "byte"}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return object{"type": "integer", "format": "int32"}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return object{"type": "integer", "format": "int64", "minimum": 0}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return object{"type": "string", "pattern": "^-?[0-9]+$"}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return object{"type": "string", "pattern": "^[0-9]+$"}
	}
	return object{"type": "string"}
}

// keywords are what JSON Schema calls the rules of protovalidate.
var keywords = map[protoreflect.Name]string{
	"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern", "const": "const",
	"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum",
	"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems", "min_pairs": "minProperties", "max_pairs": "maxProperties",
}

// limit adds rules to a schema, and returns as texts those that it cannot say.
func (g *generator) limit(schema object, rules *validate.FieldRules, asKeywords bool) (texts []string) {
	of := rules.ProtoReflect().WhichOneof(rules.ProtoReflect().Descriptor().Oneofs().ByName("type"))
	if of == nil {
		return nil
	}
	inner := rules.ProtoReflect().Get(of).Message()
	fields := inner.Descriptor().Fields()
	for i := range fields.Len() {
		rule := fields.Get(i)
		if !inner.Has(rule) || rule.Name() == "defined_only" {
			continue
		}
		value := inner.Get(rule)
		isNumber := strings.HasPrefix(string(of.Name()), "int32") || strings.HasPrefix(string(of.Name()), "uint32") || of.Name() == "sint32"
		keyword, known := keywords[rule.Name()]
		switch {
		case rule.Message() != nil && rule.Message().FullName() == rules.ProtoReflect().Descriptor().FullName():
			each, ok := schema["items"].(object)
			if !ok {
				each, _ = schema["additionalProperties"].(object)
			}
			if rule.Name() == "keys" || each == nil {
				each = object{}
			}
			for _, t := range g.limit(each, value.Message().Interface().(*validate.FieldRules), asKeywords) {
				texts = append(texts, "each "+t)
			}
		case asKeywords && known && (isNumber || of.Name() == "string" || of.Name() == "repeated" || of.Name() == "map"):
			schema[keyword] = value.Interface()
		case rule.Message() != nil && rule.Message().FullName() == wellKnown+".Duration":
			d, _ := value.Message().Interface().(*durationpb.Duration)
			texts = append(texts, fmt.Sprintf("%s %s", words[rule.Name()], d.AsDuration()))
		case rule.Enum() == nil && rule.IsList() && rule.Kind() != protoreflect.MessageKind:
			var all []string
			for i := range value.List().Len() {
				all = append(all, value.List().Get(i).String())
			}
			texts = append(texts, fmt.Sprintf("%s %s", strings.ReplaceAll(string(rule.Name()), "_", " "), strings.Join(all, ", ")))
		default:
			word := words[rule.Name()]
			if word == "" {
				word = strings.ReplaceAll(string(rule.Name()), "_", " ")
			}
			texts = append(texts, fmt.Sprintf("%s %v", word, value.Interface()))
		}
	}
	return texts
}

// words say a limit in a text.
var words = map[protoreflect.Name]string{
	"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most",
	"min_len": "not shorter than", "max_len": "not longer than",
}

// celTexts are the messages of a message's rules, one line each.
func (g *generator) celTexts(options protoreflect.ProtoMessage) string {
	var out strings.Builder
	rules, _ := proto.GetExtension(options, validate.E_Message).(*validate.MessageRules)
	for _, c := range rules.GetCel() {
		out.WriteString("\n- " + c.GetMessage())
	}
	return out.String()
}
