package restclient

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Source is where a thing came from, in the words of its maker: a URI, without
// credentials, or the last element of a local path. Paths of the machine are cut
// while they are decoded, because a program can write any text there.
type Source string

// UnmarshalJSONFrom reads any value; an object keeps its JSON form.
func (s *Source) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var v Value
	if err := json.UnmarshalDecode(dec, &v, lenient()); err != nil {
		return err
	}
	switch v.Kind {
	case ValueNull:
		*s = ""
	case ValueText:
		*s = Source(publicSource(v.Text))
	default:
		*s = Source(hideServerPaths(userInfo.ReplaceAllString(v.String(), "://<hidden>@")))
	}
	return nil
}

// collapsed is a URI that has been a Path of Python: s3:/bucket. The SDK makes
// one of what a dataset is given as.
var collapsed = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+):/([^/])`)

// publicSource takes a text for a URI or a path.
func publicSource(text string) string {
	local, isFile := strings.CutPrefix(text, "file:")
	if isFile || IsServerPath(text) {
		return lastElement(local)
	}
	text = collapsed.ReplaceAllString(text, "$1://$2")
	return hideServerPaths(userInfo.ReplaceAllString(text, "://<hidden>@"))
}

// lastElement is the last element of a path of either system.
func lastElement(path string) string {
	path = strings.TrimRight(path, `/\`)
	return path[strings.LastIndexAny(path, `/\`)+1:]
}

// optional is a value that counts as absent where it has another shape: assets.json
// is written by programs of users, and read by the Viewer as it is.
type optional[T any] struct{ value T }

// UnmarshalJSONFrom reads the value if it fits.
func (s *optional[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	var v T
	if json.Unmarshal(raw, &v, lenient()) == nil {
		s.value = v
	}
	return nil
}

// optionalList is a list without the elements that do not fit.
type optionalList[T any] []T

// UnmarshalJSONFrom reads the elements that fit.
func (l *optionalList[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var raw optional[[]jsontext.Value]
	if err := raw.UnmarshalJSONFrom(dec); err != nil {
		return err
	}
	for _, item := range raw.value {
		var v T
		if item.Kind() == '{' && json.Unmarshal(item, &v, lenient()) == nil {
			*l = append(*l, v)
		}
	}
	return nil
}
