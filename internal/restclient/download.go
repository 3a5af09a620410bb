package restclient

import (
	"mime"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// Download is a file or an archive received as a stream. It must be closed; io.EOF means
// that every byte was delivered.
type Download struct {
	// Filename is the last element of the name that the Viewer proposes, without anything
	// that could leave a folder; it may be empty.
	Filename string
	// ContentType is the Viewer's content type.
	ContentType string
	// Size is the number of bytes to come, -1 if unknown.
	Size int64
	// ETag changes with the file's time and size; that of an archive is not stable.
	ETag string

	x *exchange
}

// Read reads the content.
func (d *Download) Read(b []byte) (int, error) { return d.x.Read(b) }

// Close releases the connection and the slot.
func (d *Download) Close() error { return d.x.Close() }

// newDownload wraps a successful exchange.
func newDownload(x *exchange) *Download {
	header := x.resp.Header
	return &Download{
		Filename:    filename(header.Get("Content-Disposition")),
		ContentType: header.Get("Content-Type"),
		Size:        x.resp.ContentLength,
		ETag:        header.Get("ETag"),
		x:           x,
	}
}

// filename returns the file name in a Content-Disposition header.
func filename(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil {
		return ""
	}
	name := params["filename"]
	name = name[strings.LastIndexAny(name, `/\:`)+1:]
	name = strings.Map(func(r rune) rune {
		if scrub.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	if strings.Trim(name, ". ") == "" {
		return ""
	}
	return name
}
