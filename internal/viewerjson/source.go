package viewerjson

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// Source is where an asset came from, as its creator wrote it: a URI without credentials,
// or the last element of a local path. Local paths are shortened during decoding because a
// program can write any text there.
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

// collapsed matches a URI that went through Python's Path, such as s3:/bucket. The SDK does
// this to dataset URIs.
var collapsed = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+):/([^/])`)

// publicSource returns the publishable form of a URI or path.
func publicSource(text string) string {
	local, isFile := strings.CutPrefix(text, "file:")
	if isFile || scrub.IsServerPath(text) {
		return LastElement(local)
	}
	text = collapsed.ReplaceAllString(text, "$1://$2")
	return scrub.Paths(scrub.Credentials(text))
}

// LastElement returns the last element of a POSIX or Windows path.
func LastElement(path string) string {
	path = strings.TrimRight(path, `/\`)
	return path[strings.LastIndexAny(path, `/\`)+1:]
}
