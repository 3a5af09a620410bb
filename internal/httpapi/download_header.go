package httpapi

import (
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// byteRange is the single range of a request. Without a start it is the last end bytes.
type byteRange struct {
	start, end int64 // end is the last byte; noEnd means the last one of the file
	suffix     bool
	etag       string // of If-Range; empty if absent
}

const noEnd = math.MaxInt64

var (
	// oneRange is a Range header of one range. Several ranges in one header may be
	// answered with the whole file (RFC 9110), and are.
	oneRange = regexp.MustCompile(`^bytes=([0-9]{1,18})?-([0-9]{1,18})?$`)
	// strongETag is an ETag as this server gives it.
	strongETag = regexp.MustCompile(`^"([!#-~]{1,256})"$`)
)

// rangeOf parses Range and If-Range. A date or a weak ETag in If-Range cannot prove that
// the file is unchanged, so it gets the whole file.
func rangeOf(h http.Header) (byteRange, bool) {
	m := oneRange.FindStringSubmatch(h.Get("Range"))
	if m == nil || m[1]+m[2] == "" {
		return byteRange{}, false
	}
	r := byteRange{end: noEnd, suffix: m[1] == ""}
	if m[1] != "" {
		r.start, _ = strconv.ParseInt(m[1], 10, 64) // at most 18 digits
	}
	if m[2] != "" {
		r.end, _ = strconv.ParseInt(m[2], 10, 64)
	}
	if !r.suffix && r.end < r.start {
		return byteRange{}, false
	}
	if condition := h.Get("If-Range"); condition != "" {
		etag := strongETag.FindStringSubmatch(condition)
		if etag == nil {
			return byteRange{}, false
		}
		r.etag = etag[1]
	}
	return r, true
}

// of returns the first byte and the byte after the last one of a file of a size.
func (r byteRange) of(size int64) (start, end int64) {
	if r.suffix {
		return max(0, size-r.end), size
	}
	return r.start, min(r.end, size-1) + 1
}

// resumeFields are the fields of a request that select a part of a file.
type resumeFields struct{ offset, ifMatch protoreflect.FieldDescriptor }

// resumeFieldsOf returns the fields; false if the request has none or has set
// them itself.
func resumeFieldsOf(message protoreflect.Message) (resumeFields, bool) {
	fields := message.Descriptor().Fields()
	f := resumeFields{fields.ByName("offset"), fields.ByName("if_match")}
	return f, f.offset != nil && f.ifMatch != nil && !message.Has(f.offset) && !message.Has(f.ifMatch)
}

// set requests the file with an etag from an offset on; an empty etag requests it
// unconditionally.
func (f resumeFields) set(message protoreflect.Message, offset int64, etag string) {
	message.Set(f.offset, protoreflect.ValueOfInt64(offset))
	message.Set(f.ifMatch, protoreflect.ValueOfString(etag))
}

// quoteETag formats an etag of the contract as a header.
func quoteETag(etag string) string { return `"` + headerText(strings.ReplaceAll(etag, `"`, "")) + `"` }

// disposition returns a Content-Disposition (RFC 6266) with the file name twice: reduced
// to ASCII, and in UTF-8.
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

// headerText makes a text valid in a header.
func headerText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
