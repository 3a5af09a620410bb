package restclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RunFile is the name of a file in a run's folder.
type RunFile string

// The files of a run.
const (
	FileEvents  RunFile = "events.jsonl"
	FileLogs    RunFile = "logs.txt"
	FileStatus  RunFile = "status.json"
	FileSummary RunFile = "summary.json"
	FileMeta    RunFile = "meta.json"
)

// FileState is the outcome of a ranged read.
type FileState uint8

// The outcomes of a ranged read.
const (
	// FileRanged: the body has the requested bytes.
	FileRanged FileState = iota + 1
	// FileWhole: the range was ignored; the body is the file from its beginning.
	FileWhole
	// FileUnchanged: the file ends at the requested offset.
	FileUnchanged
	// FileShrunk: the file ends before the requested offset, so it was replaced.
	FileShrunk
	// FileAbsent: the run does not have the file yet.
	FileAbsent
	// RunGone: the run does not exist any more, or is in the recycle bin.
	RunGone
)

// FilePart is the answer to a ranged read. It must be closed in every state.
type FilePart struct {
	// State says whether there is a body, and what it is.
	State FileState
	// Offset is where the body begins in the file, in bytes.
	Offset int64
	// Size is the size of the whole file as the Viewer saw it, -1 if unknown.
	Size int64
	// ETag changes with the file's time and size.
	ETag string
	// NotServed reports, for FileAbsent, that the file may exist but the Viewer would send
	// something else in its place.
	NotServed bool

	body io.ReadCloser
}

// NewFilePart returns a part of a file; a nil body is empty.
func NewFilePart(state FileState, offset, size int64, etag string, body io.ReadCloser) *FilePart {
	if body == nil {
		body = http.NoBody
	}
	return &FilePart{State: state, Offset: offset, Size: size, ETag: etag, body: body}
}

// Read reads the body. A body that ends early is an *Error of KindCutOff, so
// io.EOF means that every byte was delivered.
func (p *FilePart) Read(b []byte) (int, error) { return p.body.Read(b) }

// Close releases the connection and the slot.
func (p *FilePart) Close() error { return p.body.Close() }

// maxLightRead is the maximum length in bytes of a read that is a light call, which needs
// no stream slot.
const maxLightRead = 4 << 20

// dirTTL is how long a cached run folder is trusted when a file is missing: 0.7.2 moves the
// folders of runs.
const dirTTL = 10 * time.Second

// ReadFile reads at most length bytes of a run's file from offset, or to the end if length
// is 0. The state of the answer, not an error, tells what was found. The location of the
// run's folder is cached, so a read takes one request.
//
//viewer:operation GET /api/runs/{run_id}/assets/download 0.6 0.7
func (c *Client) ReadFile(ctx context.Context, runID string, file RunFile, offset, length int64) (*FilePart, error) {
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("read %s: negative offset or length", file)
	}
	if _, err := c.require(ctx, CapFiles); err != nil {
		return nil, err // before the run's folder is looked up in vain
	}
	dir, err := c.dir(ctx, runID)
	if err != nil {
		return runGonePart(err)
	}
	part, err := c.readAt(ctx, runID, dir.path(file), offset, length)
	if err != nil || (part.State == FileAbsent && time.Since(dir.at) > dirTTL) {
		relocated, again := c.relocated(ctx, runID, dir, err)
		if !again {
			return part, err
		}
		if part != nil {
			err = part.Close()
		}
		if err == nil || IsKind(err, KindForbidden) {
			return c.readAt(ctx, runID, relocated.path(file), offset, length)
		}
	}
	return part, err
}

// EventFile reads the event file of a run from offset to its end.
func (c *Client) EventFile(ctx context.Context, runID string, offset int64) (*FilePart, error) {
	return c.ReadFile(ctx, runID, FileEvents, offset, 0)
}

// readAt makes one ranged read of a path on the Viewer's machine. A file that the Viewer
// would not serve unchanged is reported as absent.
func (c *Client) readAt(ctx context.Context, runID, path string, offset, length int64) (*FilePart, error) {
	if treatedAsManifest(path) {
		part := missingPart(FileAbsent)
		part.NotServed = true
		return part, nil
	}
	q := call{
		cap: CapFiles, ids: []string{runID}, query: url.Values{"path": {path}},
		bytes: fmt.Sprintf("bytes=%d-", offset), limit: -1,
	}
	if length > 0 {
		q.bytes += strconv.FormatInt(offset+length-1, 10)
		if length <= maxLightRead {
			q.class = light
		}
	}
	x, err := c.do(ctx, q)
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		switch {
		case !ok || e.Kind != KindNotFound:
			return nil, err
		case strings.HasPrefix(e.Detail, "File"):
			return missingPart(FileAbsent), nil
		}
		c.dirs.forget(runID)
		return missingPart(RunGone), nil
	}
	part, err := x.filePart(offset, length)
	if err != nil {
		return nil, x.closeWith(err)
	}
	if part.State == FileUnchanged || part.State == FileShrunk {
		part.body = http.NoBody
		return part, x.Close()
	}
	return part, nil
}

// missingPart is the answer where there is no file.
func missingPart(state FileState) *FilePart { return NewFilePart(state, 0, -1, "", nil) }

// runGonePart makes an answer of the detail's 404.
func runGonePart(err error) (*FilePart, error) {
	if IsKind(err, KindNotFound) {
		return missingPart(RunGone), nil
	}
	return nil, err
}

var errRange = errors.New("the Content-Range does not match the requested range")

// filePart returns the answer of a successful exchange that requested length bytes, or
// everything if that is 0. No more than that is read.
func (x *exchange) filePart(offset, length int64) (*FilePart, error) {
	part := NewFilePart(FileRanged, offset, -1, x.resp.Header.Get("ETag"), x)
	switch x.resp.StatusCode {
	case http.StatusOK:
		part.State, part.Offset, part.Size = FileWhole, 0, x.resp.ContentLength
		if length > 0 {
			x.end = offset + length
		}
		return part, nil
	case http.StatusRequestedRangeNotSatisfiable:
		size, ok := strings.CutPrefix(x.resp.Header.Get("Content-Range"), "bytes */")
		n, err := strconv.ParseInt(size, 10, 64)
		if !ok || err != nil || n < 0 || n > offset {
			return nil, x.malformed(errRange)
		}
		part.Size, part.State = n, FileUnchanged
		if n < offset {
			part.State = FileShrunk
		}
		return part, nil
	}
	var first, last int64
	if _, err := fmt.Sscanf(x.resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &part.Size); err != nil ||
		first != offset || last < first || last >= part.Size || (length > 0 && last-first >= length) {
		return nil, x.malformed(errRange)
	}
	x.promised = last - first + 1
	x.end = x.promised
	return part, nil
}

// maxDirs is the maximum number of runs whose locations are cached.
const maxDirs = 20_000

// runDir is the location of a run on the Viewer's machine.
type runDir struct {
	dir, events, logs string
	at                time.Time
}

// path returns the path of a file in the Viewer's notation.
func (d runDir) path(file RunFile) string {
	switch {
	case file == FileEvents && d.events != "":
		return d.events
	case file == FileLogs && d.logs != "":
		return d.logs
	}
	return joinPath(d.dir, string(file))
}

// dir returns the location of a run, from the cache if possible.
func (c *Client) dir(ctx context.Context, runID string) (runDir, error) {
	if d, ok := c.dirs.get(runID); ok {
		return d, nil
	}
	if list, current := c.runs.get(); list != nil && current && list.Age() < listedDirAge {
		if run := list.Find(runID); run != nil && run.Dir != "" {
			return runDir{dir: run.Dir, at: list.At}, nil // saves one request per run when many are read
		}
	}
	return c.askDir(ctx, runID)
}

// listedDirAge is the maximum age of a list that is used for the locations of runs.
const listedDirAge = time.Minute

// askDir requests the location of a run.
func (c *Client) askDir(ctx context.Context, runID string) (runDir, error) {
	if _, err := c.GetRun(ctx, runID); err != nil {
		return runDir{}, err
	}
	d, ok := c.dirs.get(runID)
	if !ok || d.dir == "" {
		return runDir{}, c.newError(capGetRun, KindMalformed, errNoDir)
	}
	return d, nil
}

var errNoDir = errors.New("the run has no run_dir")

// relocated requests the location again after a read failed in a way that a moved folder
// explains, and reports whether it has changed.
func (c *Client) relocated(ctx context.Context, runID string, old runDir, err error) (runDir, bool) {
	if err != nil && !IsKind(err, KindForbidden) {
		return runDir{}, false
	}
	c.dirs.forget(runID)
	d, err := c.askDir(ctx, runID)
	return d, err == nil && d.dir != old.dir
}
