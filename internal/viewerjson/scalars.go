package viewerjson

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// The SDK writes status.json, summary.json and meta.json with bare NaN and Infinity tokens,
// which JSON decoders reject. They are decoded as strings with a noncharacter prefix, which
// no user's text contains.
const (
	markNaN    = "\uFDD0NaN"
	markInf    = "\uFDD0Infinity"
	markNegInf = "\uFDD0-Infinity"
)

// quoteNonFinite quotes bare tokens outside strings. Without any, it returns doc itself.
func quoteNonFinite(doc []byte) []byte {
	if !bytes.ContainsAny(doc, "NI") {
		return doc
	}
	var out []byte
	kept := 0
	for i := 0; i < len(doc); {
		if doc[i] == '"' {
			i = skipString(doc, i)
			continue
		}
		token, mark := nonFinite(doc[i:])
		if token == 0 {
			i++
			continue
		}
		out = append(out, doc[kept:i]...)
		out = append(append(append(out, '"'), mark...), '"')
		i += token
		kept = i
	}
	if kept == 0 {
		return doc
	}
	return append(out, doc[kept:]...)
}

// nonFinite returns the length of the bare token at the start of b and its replacement.
func nonFinite(b []byte) (length int, mark string) {
	for _, t := range [...]struct{ token, mark string }{
		{"NaN", markNaN}, {"Infinity", markInf}, {"-Infinity", markNegInf},
	} {
		if bytes.HasPrefix(b, []byte(t.token)) {
			return len(t.token), t.mark
		}
	}
	return 0, ""
}

// plainNonFinite turns the marks within a nested value into plain strings.
func plainNonFinite(doc []byte) []byte { return bytes.ReplaceAll(doc, []byte("\uFDD0"), nil) }

// Time is a time of the Viewer: seconds since 1970 as a float, an integer or
// a string, or null. The zero Time is an unknown one.
type Time struct {
	time.Time
}

// maxSeconds is the last accepted time: the end of year 9999, also the limit of a protobuf
// Timestamp.
const maxSeconds = 253402300799

// UnmarshalJSONFrom reads any representation of a time; other values are an unknown time,
// not an error.
func (t *Time) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	f, ok, err := readFloat(dec)
	*t = Time{}
	if err == nil && ok && f > 0 && f <= maxSeconds {
		sec, frac := math.Modf(f)
		t.Time = time.Unix(int64(sec), int64(math.Round(frac*1e6))*1e3)
	}
	return err
}

// Millis is a time in milliseconds.
type Millis struct{ time.Time }

// UnmarshalJSONFrom reads any representation of a time; other values are an unknown time.
func (m *Millis) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	f, ok, err := readFloat(dec)
	*m = Millis{}
	if err == nil && ok && f > 0 && f <= maxSeconds*1000 {
		m.Time = time.UnixMicro(int64(f * 1000))
	}
	return err
}

// Float is a number that may be null, a string or missing.
type Float struct {
	Value float64
	Known bool
}

// UnmarshalJSONFrom reads a number, a numeric string or a boolean; other values are
// unknown.
func (n *Float) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	f, ok, err := readFloat(dec)
	*n = Float{Value: f, Known: ok && err == nil}
	return err
}

// Int is an integer that may be null, a float, a string or missing.
type Int struct {
	Value int64
	Known bool
}

// UnmarshalJSONFrom reads an integer, truncating a float as Python's int() does; values out
// of range are unknown.
func (n *Int) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	text, err := readScalar(dec)
	*n = Int{}
	if err != nil {
		return err
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		*n = Int{Value: i, Known: true}
	} else if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1<<63 {
		*n = Int{Value: int64(f), Known: true}
	}
	return nil
}

// Text is a string that may be null or missing, or another scalar, kept as its JSON text.
type Text struct {
	Value string
	Known bool
}

// UnmarshalJSONFrom reads any scalar as text; null, lists and objects are unknown.
func (s *Text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	kind := dec.PeekKind()
	text, err := readScalar(dec)
	*s = Text{}
	if err == nil && kind != 'n' && kind != '[' && kind != '{' {
		*s = Text{Value: text, Known: true}
	}
	return err
}

// Texts is a list of texts that may be null or contain objects, kept as their JSON text.
type Texts []string

// UnmarshalJSONFrom reads a list; any other value becomes a list of one.
func (l *Texts) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = nil
	return elements(dec, func(item jsontext.Value) {
		var v Value
		if v.read(item) == nil {
			*l = append(*l, v.String())
		}
	})
}

// Scrubbed returns the texts, scrubbed.
func (l Texts) Scrubbed() Texts {
	out := slices.Clone(l)
	for i, text := range out {
		out[i] = scrub.Text(text, nil)
	}
	return out
}

func readFloat(dec *jsontext.Decoder) (f float64, ok bool, err error) {
	text, err := readScalar(dec)
	if err != nil {
		return 0, false, err
	}
	switch text {
	case "true":
		return 1, true, nil
	case "false":
		return 0, true, nil
	case "":
		return 0, false, nil
	}
	f, perr := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(text), "\uFDD0"), 64)
	if perr != nil && !math.IsInf(f, 0) {
		return 0, false, nil // a value of another type is unknown, not an error
	}
	return f, true, nil
}

// readScalar returns the text of a scalar, without the quotes of a string. It is empty for
// null, lists and objects.
func readScalar(dec *jsontext.Decoder) (string, error) {
	raw, err := dec.ReadValue()
	if err != nil {
		return "", err
	}
	switch raw.Kind() {
	case 'n', '[', '{':
		return "", nil
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil && len(text) == 0 {
			return "", nil // invalid text is replaced, never an error
		}
		return string(text), nil
	}
	return string(raw), nil
}
