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
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	schemaPath = "#/components/schemas/"
	wellKnown  = protoreflect.FullName("google.protobuf")
)

// schemaName returns the name of a message or enum without dots: its plain name in the
// contract, with the last part of its package otherwise.
func (g *generator) schemaName(d protoreflect.Descriptor) string {
	pkg := d.ParentFile().Package()
	name := strings.ReplaceAll(strings.TrimPrefix(string(d.FullName()), string(pkg)+"."), ".", "_")
	if pkg != g.pkg {
		last := string(pkg.Name())
		name = strings.ToUpper(last[:1]) + last[1:] + name
	}
	owner, taken := g.owners[name]
	if taken && owner != d.FullName() || !taken && g.schemas[name] != nil {
		g.err = fmt.Errorf("%s: the schema name %s is taken", d.FullName(), name)
	}
	g.owners[name] = d.FullName()
	return name
}

// message returns a reference to the schema of a message, and adds the schema if it is new.
func (g *generator) message(m *protogen.Message) object {
	name := g.schemaName(m.Desc)
	ref := object{"$ref": schemaPath + name}
	if g.schemas[name] != nil {
		return ref
	}
	schema := object{"type": "object"}
	g.schemas[name] = schema // before the fields, which may refer to it
	texts := []string{text(m.Comments)}
	for _, o := range m.Oneofs {
		names := []string{}
		for _, f := range o.Fields {
			names = append(names, string(f.Desc.Name()))
		}
		if !o.Desc.IsSynthetic() {
			texts = append(texts, "At most one of these fields is there: "+strings.Join(names, ", ")+".")
		}
	}
	describe(schema, m.Desc.Options(), append(texts, celRules(m))...)
	properties, required := list{}, []string{}
	for _, f := range m.Fields {
		properties = append(properties, member{string(f.Desc.Name()), g.field(f)})
		if g.isAlwaysThere(f) {
			required = append(required, string(f.Desc.Name()))
		}
	}
	if len(properties) > 0 {
		schema["properties"] = properties
	}
	if len(required) > 0 {
		schema["required"] = required
	}
	return ref
}

// isAlwaysThere reports whether a field is required: in an answer, fields without presence;
// in a request, those that must be set and cannot be in the path. Fields of messages in
// both are never required.
func (g *generator) isAlwaysThere(f *protogen.Field) bool {
	in := f.Parent.Desc.FullName()
	if g.requests[in] {
		return !g.answers[in] && isRequired(f) && !g.inPath[f.Desc.FullName()]
	}
	return !f.Desc.HasPresence()
}

func behaves(f *protogen.Field, b annotations.FieldBehavior) bool {
	all, _ := proto.GetExtension(f.Desc.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(all, b)
}

func rulesOf(f *protogen.Field) *validate.FieldRules {
	rules, _ := proto.GetExtension(f.Desc.Options(), validate.E_Field).(*validate.FieldRules)
	return rules
}

func isRequired(f *protogen.Field) bool {
	return behaves(f, annotations.FieldBehavior_REQUIRED) || rulesOf(f).GetRequired()
}

// celRules lists the rules of a whole message.
func celRules(m *protogen.Message) (out string) {
	rules, _ := proto.GetExtension(m.Desc.Options(), validate.E_Message).(*validate.MessageRules)
	for _, c := range rules.GetCel() {
		out += "\n- " + c.GetMessage()
	}
	if out == "" {
		return ""
	}
	return "Rules of the request:" + out
}

// field returns the schema of a field with its description and limits.
func (g *generator) field(f *protogen.Field) object {
	schema := g.single(f)
	switch {
	case f.Desc.IsMap():
		schema = object{"type": "object", "additionalProperties": g.single(f.Message.Fields[1])}
	case f.Desc.IsList():
		schema = object{"type": "array", "items": schema}
	}
	// Limits apply to requests; values from Viewers may exceed them.
	rules := limit(schema, rulesOf(f), !g.answers[f.Parent.Desc.FullName()])
	for _, c := range rulesOf(f).GetCel() {
		rules = append(rules, c.GetMessage())
	}
	texts := []string{text(f.Comments)}
	if len(rules) > 0 {
		texts = append(texts, "In a request: "+strings.Join(rules, ", ")+".")
	}
	describe(schema, f.Desc.Options(), texts...)
	if behaves(f, annotations.FieldBehavior_OUTPUT_ONLY) && g.requests[f.Parent.Desc.FullName()] {
		schema["readOnly"] = true // otherwise requests could not have it
	}
	if behaves(f, annotations.FieldBehavior_INPUT_ONLY) {
		schema["writeOnly"] = true
	}
	return schema
}

// single returns the schema of one value of a field.
func (g *generator) single(f *protogen.Field) object {
	if f.Enum != nil {
		name, values := g.schemaName(f.Enum.Desc), []string{}
		for _, v := range f.Enum.Values {
			values = append(values, string(v.Desc.Name()))
		}
		schema := object{"type": "string", "enum": values}
		describe(schema, f.Enum.Desc.Options(), text(f.Enum.Comments), valueList(f.Enum, ""))
		g.schemas[name] = schema
		return object{"$ref": schemaPath + name}
	}
	if f.Message == nil {
		return scalar(f.Desc.Kind())
	}
	if schema := scalarMessage(f.Message.Desc); schema != nil || f.Desc.IsMap() {
		return schema
	}
	switch f.Message.Desc.FullName() {
	case wellKnown + ".Any":
		return object{"$ref": schemaPath + "ProtobufAny"}
	case wellKnown + ".Struct":
		return object{"type": "object", "additionalProperties": true}
	case wellKnown + ".ListValue":
		return object{"type": "array", "items": object{}}
	case wellKnown + ".Value":
		return object{}
	}
	return g.message(f.Message)
}

// valueList lists the values of an enum with their comments.
func valueList(e *protogen.Enum, prefix string) (out string) {
	for _, v := range e.Values {
		out += fmt.Sprintf("\n- %s: %s", strings.TrimPrefix(string(v.Desc.Name()), prefix), text(v.Comments))
	}
	return strings.TrimSpace(out)
}

// scalarMessage returns the schema of a well-known message that is a scalar in JSON; nil
// for other messages.
func scalarMessage(m protoreflect.MessageDescriptor) object {
	switch m.FullName() {
	case wellKnown + ".Timestamp":
		return object{"type": "string", "format": "date-time"}
	case wellKnown + ".Duration":
		return object{"type": "string", "pattern": `^-?[0-9]+(\.[0-9]{1,9})?s$`}
	case wellKnown + ".FieldMask":
		return object{"type": "string"}
	}
	f := m.Fields().ByName("value")
	if m.ParentFile().Package() == wellKnown && m.Fields().Len() == 1 && f != nil && f.Message() == nil {
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

// keywords maps the rules of protovalidate to JSON Schema keywords and texts.
var keywords = map[protoreflect.Name][2]string{
	"min_len": {"minLength", "minimum length"}, "max_len": {"maxLength", "maximum length"}, "pattern": {"pattern", "pattern"},
	"gt": {"exclusiveMinimum", "more than"}, "gte": {"minimum", "at least"}, "lt": {"exclusiveMaximum", "less than"}, "lte": {"maximum", "at most"},
	"min_items": {"minItems", "minimum count"}, "max_items": {"maxItems", "maximum count"}, "unique": {"uniqueItems", "unique"},
	"min_pairs": {"minProperties", "minimum count"}, "max_pairs": {"maxProperties", "maximum count"}, "const": {"const", "always"},
}

// limit adds rules to a schema, and returns as texts those that the schema cannot express.
func limit(schema object, rules *validate.FieldRules, asKeywords bool) (texts []string) {
	r := rules.ProtoReflect()
	kind := r.WhichOneof(r.Descriptor().Oneofs().ByName("type"))
	if kind == nil {
		return nil
	}
	asKeywords = asKeywords && slices.Contains([]protoreflect.Name{"string", "repeated", "map", "int32", "sint32", "sfixed32", "uint32", "fixed32"}, kind.Name())
	inner := r.Get(kind).Message()
	for i := range inner.Descriptor().Fields().Len() {
		rule := inner.Descriptor().Fields().Get(i)
		keyword, known := keywords[rule.Name()]
		if !known {
			keyword[1] = strings.ReplaceAll(string(rule.Name()), "_", " ")
		}
		switch value := inner.Get(rule); {
		case !inner.Has(rule), rule.Name() == "defined_only":
		case kind.Name() == "enum" && rule.Name() == "not_in":
			texts = append(texts, "not unspecified")
		case rule.Message() == r.Descriptor(): // of items, keys or values
			each, ok := schema[map[protoreflect.Name]string{"items": "items", "values": "additionalProperties"}[rule.Name()]].(object)
			for _, t := range limit(each, value.Message().Interface().(*validate.FieldRules), asKeywords && ok) {
				texts = append(texts, string(rule.Name())+" "+t)
			}
		case asKeywords && known:
			schema[keyword[0]] = value.Interface()
		case rule.Message() != nil && rule.Message().FullName() == wellKnown+".Duration":
			texts = append(texts, fmt.Sprint(keyword[1], " ", value.Message().Interface().(*durationpb.Duration).AsDuration()))
		default:
			texts = append(texts, keyword[1]+" "+value.String())
		}
	}
	return texts
}
