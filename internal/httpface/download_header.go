package httpface

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// resumption is where a client wants to go on, and with which file. The zero
// resumption is none.
type resumption struct {
	offset int64
	etag   string
}

// openRange is the one kind of Range that is served: to the end. All others
// may be answered with the whole file, says RFC 9110, and are.
var openRange = regexp.MustCompile(`^bytes=([0-9]{1,18})-$`)

// strongETag is an ETag as this server gives it.
var strongETag = regexp.MustCompile(`^"([!#-~]{1,256})"$`)

// resumptionOf reads Range and If-Range. A Range without If-Range could join
// two files, so it is answered with the whole one too.
func resumptionOf(h http.Header) resumption {
	start := openRange.FindStringSubmatch(h.Get("Range"))
	etag := strongETag.FindStringSubmatch(h.Get("If-Range"))
	if start == nil || etag == nil {
		return resumption{}
	}
	offset, err := strconv.ParseInt(start[1], 10, 64)
	if err != nil {
		return resumption{}
	}
	return resumption{offset: offset, etag: etag[1]}
}

// apply makes offset and if_match of it, where the call has them and the
// request has not set them otherwise.
func (p resumption) apply(message protoreflect.Message) bool {
	offset, etag := resumeFields(message)
	if p.offset == 0 || offset == nil || etag == nil || message.Has(offset) || message.Has(etag) {
		return false
	}
	message.Set(offset, protoreflect.ValueOfInt64(p.offset))
	message.Set(etag, protoreflect.ValueOfString(p.etag))
	return true
}

// undo takes back what apply did.
func (p resumption) undo(message protoreflect.Message) {
	offset, etag := resumeFields(message)
	message.Clear(offset)
	message.Clear(etag)
}

// resumeFields returns the fields of a request that resume a file; nil if it
// has none, as ExportExperiment, which makes its file anew.
func resumeFields(message protoreflect.Message) (offset, etag protoreflect.FieldDescriptor) {
	fields := message.Descriptor().Fields()
	return fields.ByName("offset"), fields.ByName("if_match")
}

// quoteETag makes a header of an etag of the contract.
func quoteETag(etag string) string { return `"` + headerText(strings.ReplaceAll(etag, `"`, "")) + `"` }

// disposition says under which name to save a file (RFC 6266): for every
// client what ASCII can hold of it, and for those that know UTF-8 the whole.
func disposition(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r == '%' || r == '/' || r < ' ' || r > '~' {
			return '_' // % would be decoded by some clients, \ by others
		}
		return r
	}, name)
	out := `attachment; filename="` + plain + `"`
	if plain != name {
		out += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return out
}

// headerText makes any text fit for a header.
func headerText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
