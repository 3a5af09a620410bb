package export

import (
	"archive/zip"
	"fmt"
	"io"
	"path"
	"time"
)

// Archive is a zip of the files of runs, each run in a folder that is called
// like its id. It is written as it is read: nothing is held.
type Archive struct {
	zip   *zip.Writer
	added map[string]bool
	at    time.Time
	// byViewer says that the runs are of several Viewers, which may have the
	// same ids: folders then begin with the Viewer.
	byViewer bool
	compute  Compute
	piece    []byte
}

// NewArchive begins a zip of the runs, whose files are dated at.
func NewArchive(out io.Writer, at time.Time, runs []*Run, compute Compute) *Archive {
	a := &Archive{zip: zip.NewWriter(out), added: map[string]bool{}, at: at, compute: compute}
	for _, r := range runs {
		a.byViewer = a.byViewer || r.Viewer != runs[0].Viewer
	}
	return a
}

// Name is the place of a run's file in the zip. The path must have been
// checked: it is relative and stays within the run.
func (a *Archive) Name(run *Run, file string) string {
	if a.byViewer {
		return path.Join(run.Viewer, run.ID, file)
	}
	return path.Join(run.ID, file)
}

// Has says whether a file of that place was begun.
func (a *Archive) Has(name string) bool { return a.added[name] }

// Add reads a file into the zip. Images are packed already.
func (a *Archive) Add(name string, body io.Reader) error {
	a.added[name] = true
	header := &zip.FileHeader{Name: name, Modified: a.at, Method: zip.Deflate}
	if _, image := imageTypes[path.Ext(name)]; image {
		header.Method = zip.Store
	}
	w, err := a.zip.CreateHeader(header)
	if err != nil {
		return fmt.Errorf("begin %s: %w", name, err)
	}
	if err := a.pack(w, body); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	return nil
}

// packedBytes is how much of a file is packed as one piece: a few milliseconds.
const packedBytes = 256 << 10

// pack reads the body and packs it piece by piece.
func (a *Archive) pack(w io.Writer, body io.Reader) error {
	if a.piece == nil {
		a.piece = make([]byte, packedBytes)
	}
	for {
		n, readErr := 0, error(nil)
		for n < len(a.piece) && readErr == nil {
			var more int
			more, readErr = body.Read(a.piece[n:])
			n += more
		}
		if n > 0 {
			err := a.compute.do(func() error { _, err := w.Write(a.piece[:n]); return err })
			if err != nil {
				return err
			}
		}
		switch {
		case readErr == io.EOF: //nolint:errorlint // wrapped it is a body that was cut
			return nil
		case readErr != nil:
			return readErr
		}
	}
}

// Close completes the zip.
func (a *Archive) Close() error { return a.zip.Close() }
