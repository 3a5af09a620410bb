package answer

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// keptText is how much is left of a text that does not fit, in bytes.
const keptText = 256

// Fit makes an item of a list fit into so many bytes, and returns the names of the
// fields that it had to shorten or to empty, the largest first: a list must not end at
// one item that no message can hold.
func Fit(m proto.Message, maxBytes int) (shortened []string) {
	for proto.Size(m) > maxBytes {
		field := largestField(m.ProtoReflect())
		if field == nil {
			return shortened
		}
		shorten(m.ProtoReflect(), field)
		shortened = append(shortened, string(field.Name()))
	}
	return shortened
}

// shorten cuts a text, and clears any other field.
func shorten(m protoreflect.Message, field protoreflect.FieldDescriptor) {
	text := m.Get(field).String
	if field.Kind() != protoreflect.StringKind || field.IsList() || field.IsMap() || len(text()) <= 2*keptText {
		m.Clear(field)
		return
	}
	m.Set(field, protoreflect.ValueOfString(strings.ToValidUTF8(text()[:keptText], "")+"…"))
}

// largestField is the field of a message that takes most, nil if there is none.
func largestField(m protoreflect.Message) (largest protoreflect.FieldDescriptor) {
	most := 0
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		alone := m.New()
		alone.Set(field, v)
		if size := proto.Size(alone.Interface()); size > most {
			most, largest = size, field
		}
		return true
	})
	return largest
}
