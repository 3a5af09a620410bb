package restclient

import (
	"context"
	"fmt"
	"mime"
	"net/url"
	"strings"
)

// Download is a file or an archive that arrives as a stream. It must be
// closed; io.EOF means that every byte was delivered.
type Download struct {
	// Filename is the last element of the name that the Viewer proposes,
	// without anything that could leave a folder; it may be empty.
	Filename string
	// ContentType is what the Viewer says of the content.
	ContentType string
	// Size is the number of bytes to come, -1 if unknown.
	Size int64
	// ETag changes with the file's time and size; archives have none that lasts.
	ETag string

	x *exchange
}

// Read reads the content.
func (d *Download) Read(b []byte) (int, error) { return d.x.Read(b) }

// Close gives the connection and the slot back.
func (d *Download) Close() error { return d.x.Close() }

// newDownload makes a download of a successful exchange.
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

// filename takes the file name out of a Content-Disposition.
func filename(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil {
		return ""
	}
	name := params["filename"]
	name = name[strings.LastIndexAny(name, `/\:`)+1:]
	name = strings.Map(func(r rune) rune {
		if isControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	if strings.Trim(name, ". ") == "" {
		return ""
	}
	return name
}

// maxExport is our own bound: the Viewer has none.
const maxExport = 1000

// ExportRuns makes the Viewer pack runs into a zip, which it does in full,
// while it answers nobody else, before the first byte comes.
//
//viewer:operation POST /api/runs/export 0.7
func (c *Client) ExportRuns(ctx context.Context, runIDs []string) (*Download, error) {
	if err := checkIDs(runIDs, maxExport); err != nil {
		return nil, err
	}
	return c.download(ctx, call{cap: CapExportRuns, body: idList{RunIDs: runIDs}})
}

// ExportPathArchive makes the Viewer pack the runs at exactly a path into a
// zip. A path without runs is not found.
//
//viewer:operation GET /api/paths/export 0.6 0.7
func (c *Client) ExportPathArchive(ctx context.Context, path string) (*Download, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	query := url.Values{"path": {path}, "exact": {"true"}, "format": {"zip"}}
	return c.download(ctx, call{cap: CapExportPath, query: query, class: archive})
}

// download makes a call whose answer is passed on as it comes.
func (c *Client) download(ctx context.Context, q call) (*Download, error) {
	x, err := c.do(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	return newDownload(x), nil
}
