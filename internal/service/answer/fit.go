package answer

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// keptText is the length in bytes to which a text that does not fit is cut.
const keptText = 256

// Fit shortens an item of a list to maxBytes. It returns the names of the fields that it
// cut or cleared, the largest first. Without it, a list would fail at an item that no
// message can hold.
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

// shorten cuts a long text, and clears any other field.
func shorten(m protoreflect.Message, field protoreflect.FieldDescriptor) {
	text := m.Get(field).String
	if field.Kind() != protoreflect.StringKind || field.IsList() || field.IsMap() || len(text()) <= 2*keptText {
		m.Clear(field)
		return
	}
	m.Set(field, protoreflect.ValueOfString(strings.ToValidUTF8(text()[:keptText], "")+"…"))
}

// largestField returns the field with the largest encoding, nil if the message is empty.
func largestField(m protoreflect.Message) (largest protoreflect.FieldDescriptor) {
	maxSize := 0
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		alone := m.New()
		alone.Set(field, v)
		if size := proto.Size(alone.Interface()); size > maxSize {
			maxSize, largest = size, field
		}
		return true
	})
	return largest
}
