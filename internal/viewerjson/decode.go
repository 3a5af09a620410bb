// Package viewerjson decodes JSON written by a Viewer or by programs of its users:
// leniently, within a memory limit, and without paths and credentials that must not be
// shown.
package viewerjson

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// lenient returns the options for answers: unknown fields are ignored, the last of
// duplicate names wins, and invalid UTF-8 becomes U+FFFD.
func lenient() json.Options {
	return json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
}

// Unmarshal decodes a document into what v points to. The error is a *TooLargeError if the
// values might take more than limit bytes of memory: a few bytes of JSON, such as {}, can
// take a hundred times as much. Bare NaN and Infinity are accepted if nonFinite is true.
func Unmarshal(doc []byte, v any, limit int64, nonFinite bool) error {
	if need := memory(doc, v); need > limit {
		return &TooLargeError{Limit: limit}
	}
	if l, ok := v.(interface{ markLossy() }); ok && !utf8.Valid(doc) {
		l.markLossy()
	}
	if nonFinite {
		doc = quoteNonFinite(doc)
	}
	return json.Unmarshal(doc, v, lenient())
}

// UnmarshalText decodes a value that is part of an answer already within the limit.
func UnmarshalText(text string, v any) error { return json.Unmarshal([]byte(text), v, lenient()) }

// TooLargeError reports a document that was not decoded because its values might take too
// much memory.
type TooLargeError struct{ Limit int64 }

// Error names the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("its values would take more than %d MiB of memory", e.Limit>>20)
}

// TextQuality is part of every answer with free text.
type TextQuality struct {
	// Lossy reports that invalid UTF-8 was replaced by U+FFFD.
	Lossy bool `json:"-"`
}

func (q *TextQuality) markLossy() { q.Lossy = true }

// List is an answer that is a bare array.
type List[T any] struct {
	TextQuality
	Items []T
}

// UnmarshalJSONFrom reads the array.
func (l *List[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return json.UnmarshalDecode(dec, &l.Items, lenient())
}

// Optional is a value that is absent if it has another type: user programs write
// assets.json, and the Viewer passes it on unchecked.
type Optional[T any] struct{ Value T }

// UnmarshalJSONFrom reads the value, or skips one of another type.
func (s *Optional[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	var v T
	if json.Unmarshal(raw, &v, lenient()) == nil {
		s.Value = v
	}
	return nil
}

// OptionalList is a list without the elements of another type.
type OptionalList[T any] []T

// UnmarshalJSONFrom reads the list and skips elements of another type.
func (l *OptionalList[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return elements(dec, func(item jsontext.Value) {
		var v T
		if item.Kind() == '{' && json.Unmarshal(item, &v, lenient()) == nil {
			*l = append(*l, v)
		}
	})
}

// elements calls yield for each element of a list, or for the value itself if it is neither
// a list nor null.
func elements(dec *jsontext.Decoder, yield func(jsontext.Value)) error {
	raw, err := dec.ReadValue()
	if err != nil || raw.Kind() == 'n' {
		return err
	}
	if raw.Kind() != '[' {
		yield(raw)
		return nil
	}
	items := jsontext.NewDecoder(bytes.NewReader(raw), lenient())
	if _, err := items.ReadToken(); err != nil {
		return err
	}
	for items.PeekKind() != ']' {
		item, err := items.ReadValue()
		if err != nil {
			return err
		}
		yield(item)
	}
	return nil
}
