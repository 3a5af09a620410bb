package restclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

// RunArchive is the files of all runs below one folder. It must be closed.
type RunArchive struct {
	// Packing is how long the Viewer took to pack it: it does nothing else meanwhile.
	Packing time.Duration

	x   *exchange
	zip *zipReader
}

// ArchivedFile is one file in an archive, whose content is read like any other.
type ArchivedFile struct {
	// Folder is where it lies below the folder that was packed, with forward slashes.
	Folder string
	File   RunFile
	Size   int64

	*zipEntry
}

// FolderArchive opens all files below a folder of a Viewer of 0.6, in whose storage a run
// must be: that costs it one look at all run folders. GET /api/paths/export packs the same,
// but reads the metadata of all runs first. The Viewer packs before the first byte comes,
// and stands still while it does. Later Viewers pack folders of one run only.
//
//viewer:operation GET /api/runs/{run_id}/assets/download 0.6
func (c *Client) FolderArchive(ctx context.Context, runID, folder string) (*RunArchive, error) {
	if err := CheckID("run_id", runID); err != nil {
		return nil, err
	}
	x, err := c.do(ctx, call{cap: CapFiles, ids: []string{runID}, query: url.Values{"path": {folder}}, limit: -1, class: archive})
	if err != nil {
		return nil, err
	}
	return &RunArchive{Packing: time.Since(x.start), x: x, zip: newZipReader(x)}, nil
}

// Next returns the next file, io.EOF after the last one.
func (a *RunArchive) Next() (*ArchivedFile, error) {
	e, err := a.zip.next()
	switch {
	case err == io.EOF: //nolint:errorlint // next returns it itself
		return nil, err
	case errors.Is(err, errZip):
		return nil, a.x.malformed(err)
	case err != nil:
		return nil, err
	}
	folder, file := path.Split(e.Name)
	return &ArchivedFile{Folder: strings.TrimSuffix(folder, "/"), File: RunFile(file), Size: e.Size, zipEntry: e}, nil
}

// Close gives the connection and the slot back.
func (a *RunArchive) Close() error { return a.x.Close() }

// Status decodes a status.json.
func (f *ArchivedFile) Status() (*Document[StatusDocument], error) {
	return decodeArchived[StatusDocument](f)
}

// Values decodes a file of free-form values, such as summary.json.
func (f *ArchivedFile) Values() (*Document[Values], error) { return decodeArchived[Values](f) }

// Config decodes the configuration in an assets.json, named as in an Asset.
func (f *ArchivedFile) Config() (Values, error) {
	assets, err := decodeArchived[assetsFile](f)
	if err != nil {
		return nil, err
	}
	return assets.Value.Config.Value.values(), nil
}

// FileAssets is the file of what a run keeps.
const FileAssets RunFile = "assets.json"

// decodeArchived decodes a small file. One that is empty, as the SDK leaves it for a moment,
// is as good as none.
func decodeArchived[T any](f *ArchivedFile) (*Document[T], error) {
	doc := &Document[T]{State: FileAbsent}
	if f.Size == 0 {
		return doc, nil
	}
	if f.Size > maxDocument {
		return nil, fmt.Errorf("%s of %s: %w", f.File, f.Folder, errOverLimit)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	if err := viewerjson.Unmarshal(text, &doc.Value, maxArchivedMemory, true); err != nil {
		return nil, fmt.Errorf("decode %s of %s: %w", f.File, f.Folder, err)
	}
	doc.State, doc.Lossy = FileWhole, !utf8.Valid(text)
	return doc, nil
}

// maxArchivedMemory bounds what a small file of an archive may take when it is decoded.
const maxArchivedMemory = 64 << 20
