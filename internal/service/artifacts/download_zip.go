package artifacts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
)

// zipReader reads a zip of a folder, and compares its number of files with that of the
// run. Viewers 0.6.0 and 0.7.2 pack a folder from its manifest, silently leave out files
// whose content they have lost, and do not serve the manifest. The end of a zip has the
// number of its files; if that is too small, the zip gets a comment that says so.
type zipReader struct {
	body      io.Reader
	wantFiles int64
	held      bytes.Buffer // the last bytes read, at least zipEnd until the end is known
	ended     bool
	lacks     string // the sentence about missing files; empty if the zip is complete
}

// A zip ends with a record of 22 bytes, as Python's zipfile writes it without
// a comment. One of 65,535 files or more, or beyond 4 GiB, has before it a
// record of 56 bytes and a locator of 20.
const (
	endSize   = 22
	end64Size = 56
	zipEnd    = end64Size + 20 + endSize
)

var (
	endMark   = []byte("PK\x05\x06")
	end64Mark = []byte("PK\x06\x06")
)

// Read withholds the last zipEnd bytes until the zip has ended, as finish may change
// them.
func (z *zipReader) Read(b []byte) (int, error) {
	for !z.ended && z.held.Len() <= zipEnd {
		_, err := io.CopyN(&z.held, z.body, filestream.ChunkSize)
		switch {
		case err == io.EOF: //nolint:errorlint // wrapped it is a body that was cut
			z.ended = true
			if err := z.finish(); err != nil {
				return 0, err
			}
		case err != nil:
			return 0, err
		}
	}
	if z.ended {
		return z.held.Read(b)
	}
	return z.held.Read(b[:min(len(b), z.held.Len()-zipEnd)])
}

// files returns the number of files that the end of the zip records.
func (z *zipReader) files() (n uint64, ok bool) {
	end := z.held.Bytes()
	end = end[max(0, len(end)-zipEnd):]
	if len(end) < endSize {
		return 0, false
	}
	last := end[len(end)-endSize:]
	if !bytes.HasPrefix(last, endMark) {
		return 0, false
	}
	if n := binary.LittleEndian.Uint16(last[10:]); n != 0xFFFF {
		return uint64(n), true
	}
	if len(end) < zipEnd || !bytes.HasPrefix(end, end64Mark) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(end[32:]), true
}

// finish checks the end of the zip, and adds the comment if files are missing.
func (z *zipReader) finish() error {
	n, ok := z.files()
	if !ok {
		return errZipEnd
	}
	if n >= uint64(max(z.wantFiles, 0)) {
		return nil
	}
	z.lacks = fmt.Sprintf("The zip holds %d of %d files: the Viewer has lost the content of the others and does not report which ones.", n, z.wantFiles)
	z.held.Truncate(z.held.Len() - 2)                                         // the length of the comment, which is 0
	z.held.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(z.lacks)))) //nolint:gosec // a sentence
	z.held.WriteString(z.lacks)
	return nil
}

var errZipEnd = errors.New("the zip has no valid end record")

// zipError names the asset of a zip without a valid end.
func zipError(c *content, err error) error {
	if !errors.Is(err, errZipEnd) {
		return err
	}
	return &apierr.Error{
		Code: codes.DataLoss, Reason: runicornapiv1.ErrorReason_ERROR_REASON_FILES_MISSING,
		Message:  fmt.Sprintf("viewer %s: %v, so it may be incomplete", c.Name, err),
		Metadata: map[string]string{"viewer": c.Name, "run_id": c.RunID, "asset_id": c.id},
	}
}
