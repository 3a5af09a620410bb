package artifacts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// zipCount counts the files of a zip that passes by. Viewers 0.6.0 and 0.7.2
// pack a folder from its manifest, and leave out in silence what they have lost
// the content of; they serve the manifest itself to nobody, but the run says
// how many files it had. A zip says at its end how many it holds.
type zipCount struct {
	wantFiles int64
	end       []byte // the last bytes seen, at most zipEnd
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

// Write looks at the next bytes.
func (z *zipCount) Write(b []byte) (int, error) {
	if len(b) >= zipEnd {
		z.end = append(z.end[:0], b[len(b)-zipEnd:]...)
		return len(b), nil
	}
	z.end = append(z.end, b...)
	z.end = z.end[max(len(z.end)-zipEnd, 0):]
	return len(b), nil
}

// files returns how many files the zip says that it holds.
func (z *zipCount) files() (n uint64, ok bool) {
	if len(z.end) < endSize {
		return 0, false
	}
	last := z.end[len(z.end)-endSize:]
	if !bytes.HasPrefix(last, endMark) {
		return 0, false
	}
	if n := binary.LittleEndian.Uint16(last[10:]); n != 0xFFFF {
		return uint64(n), true
	}
	if len(z.end) < zipEnd || !bytes.HasPrefix(z.end, end64Mark) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(z.end[32:]), true
}

// check refuses a zip that lacks files, or whose end cannot be understood.
func (z *zipCount) check(t target.Run, id string) error {
	if z == nil {
		return nil
	}
	n, ok := z.files()
	if ok && n == uint64(max(z.wantFiles, 0)) {
		return nil
	}
	message := "the zip has an end that cannot be understood, so nobody can tell whether it is complete"
	if ok {
		message = fmt.Sprintf("the zip holds %d of %d files; the viewer has lost the content of the others, and does not say which they are", n, z.wantFiles)
	}
	return &apierr.Error{
		Code: codes.DataLoss, Reason: runicornapiv1.ErrorReason_ERROR_REASON_FILES_MISSING,
		Message: fmt.Sprintf("viewer %s: %s", t.Name, message),
		Metadata: map[string]string{
			"viewer": t.Name, "run_id": t.RunID, "asset_id": id,
			"want": strconv.FormatInt(z.wantFiles, 10), "files": strconv.FormatUint(n, 10),
		},
	}
}
