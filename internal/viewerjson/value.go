package viewerjson

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// ValueKind selects the field of a Value that is set.
type ValueKind uint8

// The kinds of a Value.
const (
	ValueNull    ValueKind = iota // JSON null
	ValueNumber                   // Number
	ValueInteger                  // Integer
	ValueDecimal                  // Text is an integer beyond int64, Number its nearest double
	ValueBool                     // Bool
	ValueText                     // Text
	ValueJSON                     // Text is a list or an object as JSON
)

// Value is one free-form value of a summary, an environment or metadata. Unlike a generic
// decoder, it keeps all digits of integers and non-finite numbers.
type Value struct {
	Kind    ValueKind
	Number  float64
	Integer int64
	Bool    bool
	Text    string
}

// Values is a free-form map.
type Values map[string]Value

// UnmarshalJSONFrom reads any JSON value.
func (v *Value) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	return v.read(raw)
}

// read reads a value from its JSON text.
func (v *Value) read(raw jsontext.Value) error {
	switch raw.Kind() {
	case 'n':
		*v = Value{}
	case 't', 'f':
		*v = Value{Kind: ValueBool, Bool: raw.Kind() == 't'}
	case '0':
		*v = numberValue(string(raw))
	case '"':
		text, err := Unquote(raw)
		if err != nil {
			return err
		}
		*v = textValue(text)
	default:
		*v = Value{Kind: ValueJSON, Text: string(plainNonFinite(bytes.ToValidUTF8(raw, []byte("\uFFFD"))))}
	}
	return nil
}

var _ json.UnmarshalerFrom = (*Value)(nil)

// numberValue keeps an integer exact and converts other numbers to a double.
func numberValue(text string) Value {
	if !IsInteger(text) {
		f, _ := strconv.ParseFloat(text, 64) // out of range gives ±Inf, as in Python
		return Value{Kind: ValueNumber, Number: f}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return Value{Kind: ValueInteger, Integer: n}
	}
	f, _ := strconv.ParseFloat(text, 64)
	return Value{Kind: ValueDecimal, Text: text, Number: f}
}

// textValue reverses quoteNonFinite.
func textValue(text string) Value {
	switch text {
	case markNaN:
		return Value{Kind: ValueNumber, Number: math.NaN()}
	case markInf:
		return Value{Kind: ValueNumber, Number: math.Inf(1)}
	case markNegInf:
		return Value{Kind: ValueNumber, Number: math.Inf(-1)}
	}
	return Value{Kind: ValueText, Text: text}
}

// IsInteger reports whether the JSON text of a number has neither fraction nor exponent.
func IsInteger[T string | []byte](text T) bool {
	for i := range len(text) {
		if c := text[i]; c == '.' || c == 'e' || c == 'E' {
			return false
		}
	}
	return true
}

// String returns the value as text for display.
func (v Value) String() string {
	switch v.Kind {
	case ValueNumber:
		return strconv.FormatFloat(v.Number, 'g', -1, 64)
	case ValueInteger:
		return strconv.FormatInt(v.Integer, 10)
	case ValueBool:
		return strconv.FormatBool(v.Bool)
	case ValueNull:
		return "null"
	}
	return v.Text
}

// IsServerPath reports whether a value is a path on the Viewer's machine, or JSON that
// contains one.
func (v Value) IsServerPath() bool {
	switch v.Kind {
	case ValueText:
		return scrub.IsServerPath(v.Text)
	case ValueJSON:
		dec := jsontext.NewDecoder(strings.NewReader(v.Text), lenient())
		for {
			token, err := dec.ReadToken()
			if err != nil {
				// At the end there is none; JSON that cannot be read may contain one.
				return dec.InputOffset() < int64(len(v.Text))
			}
			if token.Kind() == '"' && scrub.IsServerPath(token.String()) {
				return true
			}
		}
	}
	return false
}

// Unquote decodes a JSON string; invalid UTF-8 becomes U+FFFD.
func Unquote(raw []byte) (string, error) {
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil && len(text) == 0 && len(raw) > 2 {
		return "", err
	}
	return string(text), nil
}
