package restclient

import (
	"bytes"
	stdjson "encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

// FuzzLenient checks that no answer makes the lenient decoders panic, loses digits of an
// integer, or yields invalid UTF-8.
func FuzzLenient(f *testing.F) {
	for _, name := range []string{"run_detail_finished", "runs_list", "paths_export_json", "config"} {
		f.Add(fixture(f, "0.6.0", name))
	}
	f.Add([]byte(`{"summary":{"a":NaN,"b":"\ud800","c":9007199254740993,"d":[Infinity]},"created_time":"1","tags":[null,1]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var detail RunDetail
		if viewerjson.Unmarshal(doc, &detail, maxDecoded, true) != nil {
			return
		}
		if s := detail.Alias.Value + detail.Status.Value + detail.ID; !utf8.ValidString(s) {
			t.Fatalf("invalid text %q", s)
		}
		for name, v := range detail.Summary {
			if !utf8.ValidString(name) || !utf8.ValidString(v.Text) {
				t.Fatalf("invalid text in %q: %q", name, v.Text)
			}
			if v.Kind == viewerjson.ValueJSON && !stdjson.Valid([]byte(v.Text)) {
				t.Fatalf("%q is no JSON: %q", name, v.Text)
			}
			if text := v.String(); v.Kind == ValueInteger && !bytes.Contains(doc, []byte(strings.TrimPrefix(text, "-"))) {
				t.Fatalf("%q lost digits: %s", name, text)
			}
		}
	})
}
