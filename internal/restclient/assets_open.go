package restclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

// ErrFileTruncated reports that a file ends before the offset at which it was to be
// resumed, so it is not the same file.
var ErrFileTruncated = errors.New("the file is shorter than the offset")

// AssetContent is the content of an asset as it arrives.
type AssetContent struct {
	// Download is the stream. Its Size is the number of bytes still to come, -1 if unknown.
	Download
	// Offset is where the stream begins in the content, in bytes.
	Offset int64
	// Total is the size of the whole content, -1 if unknown.
	Total int64
}

// OpenAsset opens the content of an asset that Assets has returned for the same run: a file
// from an offset on, or a folder as a zip. The Viewer packs a zip completely for every
// request before it sends the first byte, so a zip has neither offset nor stable ETag. The
// caller must check by ETag and Total that a resumed file is still the same.
//
// In 0.6.0 and 0.7.2 a zip silently lacks files whose content is lost.
//
//viewer:operation GET /api/runs/{run_id}/assets/download 0.6 0.7
func (c *Client) OpenAsset(ctx context.Context, runID string, asset *Asset, offset int64) (*AssetContent, error) {
	switch {
	case offset < 0:
		return nil, &IDError{Field: "offset", Reason: "must not be negative"}
	case offset > 0 && asset.Zipped:
		return nil, &IDError{Field: "offset", Reason: "must be 0: a zip is packed for every request"}
	case asset.location == nil:
		return nil, c.noCopy(asset, "the Viewer keeps no copy of it")
	}
	path, err := c.absolutePath(ctx, runID, asset)
	if err != nil {
		return nil, err
	}
	q := call{cap: CapFiles, ids: []string{runID}, limit: -1}
	q.query = url.Values{"path": {path}, "filename": {asset.filename()}}
	switch {
	case asset.Zipped:
		q.class = archive
	case offset > 0:
		// Request one byte more: at the end of the file this is still a valid range, whose
		// answer has an ETag; a 416 has none.
		q.bytes = fmt.Sprintf("bytes=%d-", offset-1)
	}
	x, err := c.do(ctx, q)
	if err != nil {
		return nil, aboutAsset(err, asset)
	}
	content, err := x.content(offset)
	if err != nil {
		return nil, x.closeWith(err)
	}
	return content, nil
}

// noCopy returns the error for an asset that cannot be opened.
func (c *Client) noCopy(asset *Asset, why string) error {
	missing := c.refused(call{cap: CapFiles}, KindNotFound, why)
	missing.Resource, missing.ResourceID, missing.Status = nounAsset, asset.ID, 0
	return missing
}

// content wraps a successful exchange.
func (x *exchange) content(offset int64) (*AssetContent, error) {
	out := &AssetContent{Download: *newDownload(x), Offset: offset, Total: x.resp.ContentLength}
	if offset == 0 {
		return out, nil
	}
	part, err := x.filePart(offset-1, 0)
	if err != nil {
		return nil, err
	}
	switch part.State {
	case FileRanged:
	case FileUnchanged, FileShrunk:
		return nil, ErrFileTruncated
	default:
		return nil, x.malformed(errRange)
	}
	if _, err := io.ReadFull(x, make([]byte, 1)); err != nil {
		return nil, x.malformed(err)
	}
	out.Total, out.Size = part.Size, max(out.Size-1, -1)
	return out, nil
}

// aboutAsset sets the asset as the missing resource of a 404, unless the run is missing.
func aboutAsset(err error, asset *Asset) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == KindNotFound && !strings.HasPrefix(e.Detail, "Run") {
		e.Resource, e.ResourceID = nounAsset, asset.ID
	}
	return err
}

// filename returns the name of the content, because copies are named by hashes. The Viewer
// adds .zip to what it packs.
func (a *Asset) filename() string {
	name := viewerjson.LastElement(string(a.Source))
	if name == "" || strings.ContainsAny(name, "{}?") {
		name = viewerjson.LastElement(a.Name.Value)
	}
	if a.Kind == AssetCode {
		name += ".zip"
	}
	return name
}
