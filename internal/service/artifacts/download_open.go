package artifacts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"strings"
	"unicode"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// openContent opens what an asset id of a run stands for, from the requested offset on.
// The id is looked up again among what the run has.
func openContent(ctx context.Context, t target.Run, req *runicornapiv1.DownloadAssetRequest) (*content, error) {
	id, err := readAssetID(t, req.GetAssetId())
	if err != nil {
		return nil, err
	}
	var c *content
	switch id.kind {
	case assetKind:
		c, err = openAsset(ctx, t, id.rest, req)
	case imageKind:
		var file restclient.RunFile
		if file, err = findImage(ctx, t, req.GetAssetId(), id.rest); err == nil {
			c, err = openRunFile(ctx, t, file, req)
		}
	case fileKind:
		c, err = openNamedFile(ctx, t, id.rest, req)
	}
	if err != nil {
		return nil, err
	}
	if err := c.checkETag(req.GetIfMatch()); err != nil {
		return nil, errors.Join(err, c.body.Close())
	}
	return c, nil
}

// openAsset opens an asset of the run's list.
func openAsset(ctx context.Context, t target.Run, id string, req *runicornapiv1.DownloadAssetRequest) (*content, error) {
	assets, err := t.Client.Assets(ctx, t.RunID)
	if err != nil {
		return nil, err
	}
	asset := assets.Find(id)
	switch {
	case asset == nil:
		return nil, restclient.NotFound(t.Name, "asset", req.GetAssetId(), "")
	case asset.Zipped && (req.GetOffset() > 0 || req.GetIfMatch() != "" && req.GetIfMatch() != filestream.AnyETag):
		return nil, apierr.Invalid("if_match", "must be empty: a folder is packed into a new zip each time, so it cannot be resumed")
	}
	opened, err := t.Client.OpenAsset(ctx, t.RunID, asset, req.GetOffset())
	if err != nil {
		return nil, resumeError(withAssetID(err, req.GetAssetId()))
	}
	c := &content{
		Run: t, id: req.GetAssetId(), name: opened.Filename, mediaType: opened.ContentType,
		offset: opened.Offset, total: opened.Total, body: opened,
	}
	if c.name == "" {
		c.name = asset.Name.Value
	}
	if !asset.Zipped {
		c.etag = contentETag(c, opened.ETag)
		return c, nil
	}
	c.name, c.mediaType = strings.TrimSuffix(c.name, ".zip")+".zip", "application/zip"
	if asset.Files.Known {
		c.zip = &zipReader{body: opened, wantFiles: asset.Files.Value}
		c.total = -1 // a zip that lacks files gets a comment, which makes it longer
	} else {
		c.limitations = []string{"The Viewer does not report the number of files, so missing files cannot be detected."}
	}
	return c, nil
}

// withAssetID replaces restclient's id of an asset by the server's in an error.
func withAssetID(err error, id string) error {
	if e, ok := errors.AsType[*restclient.Error](err); ok && e.Resource == "asset" {
		ours := *e
		ours.ResourceID = id
		return &ours
	}
	return err
}

// openNamedFile opens one of the runFiles.
func openNamedFile(ctx context.Context, t target.Run, id string, req *runicornapiv1.DownloadAssetRequest) (*content, error) {
	for _, f := range runFiles {
		if f.id == id {
			return openRunFile(ctx, t, f.file, req)
		}
	}
	return nil, restclient.NotFound(t.Name, "asset", req.GetAssetId(), "")
}

// openRunFile opens a file of the run's folder. The range begins one byte early: at the
// end of the file that range still has an ETag, while the response for an empty range has
// none.
func openRunFile(ctx context.Context, t target.Run, file restclient.RunFile, req *runicornapiv1.DownloadAssetRequest) (*content, error) {
	part, err := t.Client.ReadFile(ctx, t.RunID, file, max(req.GetOffset()-1, 0), 0)
	if err != nil {
		return nil, source.FilesUnsupported(err)
	}
	c := &content{
		Run: t, id: req.GetAssetId(), name: path.Base(string(file)), mediaType: mediaTypeOf(string(file)),
		offset: req.GetOffset(), total: part.Size, body: part,
	}
	switch part.State {
	case restclient.FileRanged, restclient.FileWhole:
		c.etag = contentETag(c, part.ETag)
		_, err = io.CopyN(io.Discard, part, c.offset-part.Offset)
		if errors.Is(err, io.EOF) {
			err = restclient.ErrFileTruncated
		}
	case restclient.FileAbsent:
		err = restclient.NotFound(t.Name, "asset", req.GetAssetId(), "the file does not exist")
	case restclient.RunGone:
		err = t.NotFound()
	default: // the range begins at or after the end of the file
		if c.offset > 0 {
			err = restclient.ErrFileTruncated
		}
	}
	if err != nil {
		return nil, errors.Join(resumeError(err), part.Close())
	}
	return c, nil
}

// contentETag binds the Viewer's ETag, which depends on time and size only, to the asset
// id. It is empty, and the download cannot be resumed, if the Viewer sends none.
func contentETag(c *content, upstream string) string {
	if upstream == "" {
		return ""
	}
	return shortSum(fmt.Sprintf("%s\n%s\n%d", c.id, upstream, c.total), 16)
}

// checkETag returns an error if the content is not the one with which the caller began.
func (c *content) checkETag(etag string) error {
	if etag == "" || etag == c.etag || etag == filestream.AnyETag && (c.etag != "" || c.offset == 0) {
		return nil
	}
	return filestream.ChangedError(nil)
}

// resumeError maps a file that ends before the offset to ABORTED.
func resumeError(err error) error {
	if errors.Is(err, restclient.ErrFileTruncated) {
		return filestream.ChangedError(err)
	}
	return err
}

// safeFileName makes a file name of any text: its last path element, without characters
// that are special to shells, headers or file systems.
func safeFileName(name string) string {
	name = convert.Text(name)
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune(`<>:"|?*`, r) {
			return '_'
		}
		return r
	}, name)
	if strings.Trim(name, ". ") == "" {
		return "download"
	}
	return string(bytes.ToValidUTF8([]byte(name[:min(len(name), 255)]), nil))
}

// safeMediaType returns a valid media type unchanged, and defaultMediaType otherwise.
func safeMediaType(text string) string {
	if _, _, err := mime.ParseMediaType(text); err != nil {
		return defaultMediaType
	}
	return text
}
