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

// RunArchive is a stream of the files of all runs below one folder. It must be closed.
type RunArchive struct {
	// Packing is how long the Viewer took to pack it. It serves nothing else meanwhile.
	Packing time.Duration

	x   *exchange
	zip *zipReader
}

// ArchivedFile is one file in an archive. Its content is read through Read.
type ArchivedFile struct {
	// Folder is relative to the packed folder, with forward slashes.
	Folder string
	File   RunFile
	Size   int64

	*zipEntry
}

// FolderArchive opens all files below a folder of a Viewer of 0.6. The run must be in that
// Viewer's storage, which the Viewer checks by scanning all run folders. GET
// /api/paths/export packs the same files, but reads the metadata of all runs first. The
// Viewer packs everything before it sends the first byte, and serves nothing else
// meanwhile. Later Viewers only pack folders of one run.
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

// Next returns the next file, or io.EOF after the last one.
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

// Close releases the connection and the slot.
func (a *RunArchive) Close() error { return a.x.Close() }

// Status decodes a status.json.
func (f *ArchivedFile) Status() (*Document[StatusDocument], error) {
	return decodeArchived[StatusDocument](f)
}

// Values decodes a file of free-form values, such as summary.json.
func (f *ArchivedFile) Values() (*Document[Values], error) { return decodeArchived[Values](f) }

// Config decodes the configuration in an assets.json, with the names of an Asset's values.
func (f *ArchivedFile) Config() (Values, error) {
	assets, err := decodeArchived[assetsFile](f)
	if err != nil {
		return nil, err
	}
	return assets.Value.Config.Value.values(), nil
}

// FileAssets is the file that lists a run's assets.
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

// maxArchivedMemory limits the memory, in bytes, of one decoded file of an archive.
const maxArchivedMemory = 64 << 20
