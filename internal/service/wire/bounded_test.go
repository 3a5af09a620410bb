package wire

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestBounded_RefusesLargeMessages of both forms, except exempt ones.
func TestBounded_RefusesLargeMessages(t *testing.T) {
	const limit = 1000
	isExempt := func(m any) bool { _, ok := m.(*wrapperspb.BytesValue); return ok }
	codec := Bounded(NewCodec(), limit, isExempt)
	large := strings.Repeat("x", limit)
	for name, tt := range map[string]struct {
		message any
		ok      bool
	}{
		"small":                {wrapperspb.String("x"), true},
		"large":                {wrapperspb.String(large), false},
		"large and exempt":     {wrapperspb.Bytes([]byte(large)), true},
		"encoded, of the size": {Whole([]byte(large)), true},
		"encoded and large":    {WithToken([]byte(large), "t"), false},
	} {
		if data, err := codec.Marshal(tt.message); (err == nil) != tt.ok {
			t.Errorf("%s: %d bytes, %v", name, data.Len(), err)
		}
	}
}
