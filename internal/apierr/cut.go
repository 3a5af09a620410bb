package apierr

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// maxStatus bounds a status in bytes. In a header it takes a third more, and so
	// 4 KiB: larger ones may end the connection that they are sent over.
	maxStatus = 3 << 10
	// maxMessage bounds its message, of which each byte may take three in a header.
	maxMessage = 1 << 10
	// maxListed bounds each list in its details.
	maxListed = 16
)

// cutText leaves at most n bytes of a text, and says that there was more.
func cutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	const more = "…"
	return strings.ToValidUTF8(text[:n-len(more)], "") + more
}

// bounded returns the details of a status with the message, as far as they fit: what
// they quote is cut, and then the last of them are left out.
func bounded(message string, details []proto.Message) []proto.Message {
	for n := maxMessage; ; n /= 2 {
		size := len(message)
		for i, d := range details {
			d = proto.Clone(d)
			cutMessage(d.ProtoReflect(), n)
			details[i] = d
			size += proto.Size(d) + 64 // and the name of its type
		}
		switch {
		case size <= maxStatus:
			return details
		case n <= 64 && len(details) > 1:
			details = details[:len(details)-1]
		case n <= 64:
			return nil
		}
	}
}

// cutMessage cuts the texts, lists and maps of a message.
func cutMessage(m protoreflect.Message, n int) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			v.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				if text, ok := value.Interface().(string); ok {
					v.Map().Set(key, protoreflect.ValueOfString(cutText(text, n)))
				}
				return true
			})
		case f.IsList():
			list := v.List()
			list.Truncate(min(list.Len(), maxListed))
			for i := range list.Len() {
				switch item := list.Get(i).Interface().(type) {
				case string:
					list.Set(i, protoreflect.ValueOfString(cutText(item, n)))
				case protoreflect.Message:
					cutMessage(item, n)
				}
			}
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(cutText(v.String(), n)))
		case f.Kind() == protoreflect.MessageKind:
			cutMessage(v.Message(), n)
		}
		return true
	})
}
