package restclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

// RunArchive is the files of all runs at or below one path. It must be closed.
type RunArchive struct {
	// Packing is how long the Viewer took to pack it: it does nothing else meanwhile.
	Packing time.Duration

	x   *exchange
	zip *zipReader
}

// ArchivedFile is one file of a run in an archive, whose content is read like any other.
type ArchivedFile struct {
	RunID string
	File  RunFile
	Size  int64

	*zipEntry
}

// PathArchive opens the files of all runs at or below a path. The Viewer packs them before the first byte comes, and stands still while it does.
//
//viewer:operation GET /api/paths/export 0.6 0.7
func (c *Client) PathArchive(ctx context.Context, path string) (*RunArchive, error) {
	start := time.Now()
	query := url.Values{"path": {path}, "format": {"zip"}}
	x, err := c.do(ctx, call{cap: CapPathArchive, query: query, limit: -1})
	if err != nil {
		return nil, err
	}
	return &RunArchive{Packing: time.Since(start), x: x, zip: newZipReader(x)}, nil
}

// Next returns the next file of a run, io.EOF after the last one.
func (a *RunArchive) Next() (*ArchivedFile, error) {
	for {
		e, err := a.zip.next()
		switch {
		case err == io.EOF: //nolint:errorlint // next returns it itself
			return nil, err
		case errors.Is(err, errZip):
			return nil, a.x.malformed(err)
		case err != nil:
			return nil, err
		}
		// A run's own files are {run_id}/{file}; the others are deeper.
		runID, file, _ := strings.Cut(e.Name, "/")
		if file != "" && !strings.Contains(file, "/") {
			return &ArchivedFile{RunID: runID, File: RunFile(file), Size: e.Size, zipEntry: e}, nil
		}
	}
}

// Close gives the connection and the slot back.
func (a *RunArchive) Close() error { return a.x.Close() }

// Status decodes a status.json; nil if it is empty, as the SDK leaves it for a moment.
func (f *ArchivedFile) Status() (*StatusDocument, error) { return decodeArchived[StatusDocument](f) }

// Values decodes a file of free-form values, such as summary.json.
func (f *ArchivedFile) Values() (*Values, error) { return decodeArchived[Values](f) }

// Config decodes the configuration in an assets.json, named as in an Asset.
func (f *ArchivedFile) Config() (Values, error) {
	assets, err := decodeArchived[assetsFile](f)
	if err != nil || assets == nil {
		return nil, err
	}
	return assets.Config.Value.values(), nil
}

// FileAssets is the file of what a run keeps.
const FileAssets RunFile = "assets.json"

func decodeArchived[T any](f *ArchivedFile) (*T, error) {
	if f.Size == 0 {
		return nil, nil //nolint:nilnil // an empty file has nothing in it
	}
	if f.Size > maxDocument {
		return nil, fmt.Errorf("%s of %s: %w", f.File, f.RunID, errOverLimit)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := viewerjson.Unmarshal(text, v, maxArchivedMemory, true); err != nil {
		return nil, fmt.Errorf("decode %s of %s: %w", f.File, f.RunID, err)
	}
	return v, nil
}

// maxArchivedMemory bounds what a small file of an archive may take when it is decoded.
const maxArchivedMemory = 64 << 20
