package export

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// Image is an image that a run has logged.
type Image struct {
	eventlog.Media
	// Open opens the content. A nil body means that the Viewer has lost it.
	Open func() (io.ReadCloser, error)
}

// imageTypes are the media types that browsers display, by extension. The system's table
// of types is not used: it differs between hosts.
var imageTypes = map[string]string{
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif",
	".webp": "image/webp", ".bmp": "image/bmp", ".svg": "image/svg+xml", ".avif": "image/avif",
}

// contentType is the media type of the image.
func (m *Image) contentType() string {
	if t, ok := imageTypes[strings.ToLower(path.Ext(m.Path))]; ok {
		return t
	}
	return "application/octet-stream"
}

// embed writes the base64 content of an image between two texts, or missing if there is
// no content.
func (m *Image) embed(out io.Writer, before, after, missing string) (err error) {
	body, err := m.Open()
	if err != nil {
		return fmt.Errorf("open image %s: %w", m.Path, err)
	}
	if body == nil {
		_, err := io.WriteString(out, missing)
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if _, err := io.WriteString(out, before); err != nil {
		return err
	}
	encoder := base64.NewEncoder(base64.StdEncoding, out)
	if _, err := io.Copy(encoder, body); err != nil {
		return fmt.Errorf("read image %s: %w", m.Path, err)
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	_, err = io.WriteString(out, after)
	return err
}

// firsts holds the index of the first image of each path, so that content that several
// events refer to is written once.
type firsts map[string]int

// see records the i-th image. It returns the first image of its path, which may be i.
func (f firsts) see(m *Image, i int) int {
	first, seen := f[m.Path]
	if !seen {
		f[m.Path] = i
		return i
	}
	return first
}

// writeImage writes the i-th image of a run: its event, and its content in base64 as
// "data", which is null if the content is lost. "same_as" is the index of an earlier
// image with the same content.
func (d *Document) writeImage(m *Image, i int, written firsts) error {
	d.write(`{"key":`, string(appendText(nil, m.Key)), `,"path":`, string(appendText(nil, m.Path)),
		`,"caption":`, string(appendText(nil, m.Caption)))
	if m.HasStep {
		d.write(`,"step":`, strconv.FormatInt(m.Step, 10))
	}
	if m.HasTime {
		d.write(`,"time":`, strconv.FormatFloat(m.Time, 'f', -1, 64))
	}
	d.write(`,"content_type":"`, m.contentType(), `","data":`)
	if first := written.see(m, i); first != i {
		d.write(`null,"same_as":`, strconv.Itoa(first), "}")
		return nil
	}
	return m.embed(d, `"`, `"}`, "null}")
}
