package export

import (
	"archive/zip"
	"fmt"
	"io"
	"path"
	"time"
)

// Archive is a zip of the files of runs, each run in a folder named after its id. It is
// written while the files are read, and holds none of them in memory.
type Archive struct {
	zip   *zip.Writer
	added map[string]bool
	at    time.Time
	// byViewer is set if the runs are of several Viewers, which may have the same ids:
	// folders are then within a folder of the Viewer.
	byViewer bool
	compute  Compute
	piece    []byte
}

// NewArchive starts a zip of the runs, whose files get the time at.
func NewArchive(out io.Writer, at time.Time, runs []*Run, compute Compute) *Archive {
	a := &Archive{zip: zip.NewWriter(out), added: map[string]bool{}, at: at, compute: compute}
	for _, r := range runs {
		a.byViewer = a.byViewer || r.Viewer != runs[0].Viewer
	}
	return a
}

// Name returns the path of a run's file in the zip. File must be a checked path: relative
// and within the run.
func (a *Archive) Name(run *Run, file string) string {
	if a.byViewer {
		return path.Join(run.Viewer, run.ID, file)
	}
	return path.Join(run.ID, file)
}

// Has reports whether a file of that name was begun.
func (a *Archive) Has(name string) bool { return a.added[name] }

// Add copies a file into the zip. Images are stored uncompressed, as they are compressed
// already.
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

// packedBytes is how many bytes of a file are compressed in one step, which takes a few
// milliseconds.
const packedBytes = 256 << 10

// pack reads the body and compresses it step by step.
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
