package viewerjson

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
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
		*s = Source(scrub.Paths(scrub.Credentials(v.String())))
	}
	return nil
}

// collapsed is a URI that has been a Path of Python: s3:/bucket. The SDK makes
// one of what a dataset is given as.
var collapsed = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+):/([^/])`)

// publicSource takes a text for a URI or a path.
func publicSource(text string) string {
	local, isFile := strings.CutPrefix(text, "file:")
	if isFile || scrub.IsServerPath(text) {
		return LastElement(local)
	}
	text = collapsed.ReplaceAllString(text, "$1://$2")
	return scrub.Paths(scrub.Credentials(text))
}

// LastElement is the last element of a path of either system.
func LastElement(path string) string {
	path = strings.TrimRight(path, `/\`)
	return path[strings.LastIndexAny(path, `/\`)+1:]
}
