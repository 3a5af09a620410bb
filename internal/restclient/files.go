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
	"sync"
	"time"
)

// RunFile names one of the files that every run has or may get.
type RunFile string

// The files of a run.
const (
	FileEvents  RunFile = "events.jsonl"
	FileLogs    RunFile = "logs.txt"
	FileStatus  RunFile = "status.json"
	FileSummary RunFile = "summary.json"
	FileMeta    RunFile = "meta.json"
)

// FileState says what a ranged read found.
type FileState uint8

// The outcomes of a ranged read.
const (
	// FileRanged: the asked bytes are in the body.
	FileRanged FileState = iota + 1
	// FileWhole: ranges are ignored there, the body is the file from its beginning.
	FileWhole
	// FileUnchanged: the file ends at the asked offset.
	FileUnchanged
	// FileShrunk: the file ends before the asked offset; it is another one now.
	FileShrunk
	// FileAbsent: the run has no such file so far.
	FileAbsent
	// RunGone: there is no such run any more, or it is in the recycle bin.
	RunGone
)

// FilePart is the answer to a ranged read. Its body is read like any other,
// and must be closed in every state.
type FilePart struct {
	// State says whether there is a body, and what it is.
	State FileState
	// Offset is where the body begins in the file.
	Offset int64
	// Size is the size of the whole file as the Viewer saw it, -1 if unknown.
	Size int64
	// ETag changes with the file's time and size.
	ETag string
	// NotServed says of a file that is not there that it may be, but that the
	// Viewer would send another thing in its place.
	NotServed bool

	body io.ReadCloser
}

// NewFilePart makes a part of a file; a nil body is an empty one.
func NewFilePart(state FileState, offset, size int64, etag string, body io.ReadCloser) *FilePart {
	if body == nil {
		body = http.NoBody
	}
	return &FilePart{State: state, Offset: offset, Size: size, ETag: etag, body: body}
}

// Read reads the body. A body that ends early is an *Error of KindCutOff, so
// io.EOF means that every byte was delivered.
func (p *FilePart) Read(b []byte) (int, error) { return p.body.Read(b) }

// Close gives the connection and the slot back.
func (p *FilePart) Close() error { return p.body.Close() }

// maxLightRead is how much a bounded read may ask for to count as a light call,
// which takes no slot of the streams.
const maxLightRead = 4 << 20

// dirTTL is how long a remembered run folder is trusted when a file is missing: 0.7.2
// moves the folders of runs.
const dirTTL = 10 * time.Second

// ReadFile reads a file of a run from offset, at most length bytes, or to the
// end where length is 0. The state of the answer, not an error, tells what
// there is; the place of the run's folder is remembered between calls, so
// that a read costs one call.
//
//viewer:operation GET /api/runs/{run_id}/assets/download 0.6 0.7
func (c *Client) ReadFile(ctx context.Context, runID string, file RunFile, offset, length int64) (*FilePart, error) {
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("read %s: negative offset or length", file)
	}
	if _, err := c.require(ctx, CapFiles); err != nil {
		return nil, err // before the run's folder is asked for in vain
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
		if err == nil || isKind(err, KindForbidden) {
			return c.readAt(ctx, runID, relocated.path(file), offset, length)
		}
	}
	return part, err
}

// EventFile reads the event file of a run from offset to its end.
func (c *Client) EventFile(ctx context.Context, runID string, offset int64) (*FilePart, error) {
	return c.ReadFile(ctx, runID, FileEvents, offset, 0)
}

// readAt makes one ranged read of a path on the Viewer's machine. What the
// Viewer would not serve as it is counts as not there.
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
	if isKind(err, KindNotFound) {
		return missingPart(RunGone), nil
	}
	return nil, err
}

func isKind(err error, kind Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == kind
}

var errRange = errors.New("the Content-Range does not fit the asked range")

// filePart makes the answer of a successful exchange that asked for length bytes, or
// all there are where that is 0. No more of it is read.
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

// runDir is where a run lives on the Viewer's machine.
type runDir struct {
	dir, events, logs string
	at                time.Time
}

// path returns the place of a file in the Viewer's own notation.
func (d runDir) path(file RunFile) string {
	switch {
	case file == FileEvents && d.events != "":
		return d.events
	case file == FileLogs && d.logs != "":
		return d.logs
	}
	return joinPath(d.dir, string(file))
}

// dir returns where a run lives, from memory if possible.
func (c *Client) dir(ctx context.Context, runID string) (runDir, error) {
	if d, ok := c.dirs.get(runID); ok {
		return d, nil
	}
	if list, current := c.runs.get(); list != nil && current && list.Age() < listedDirAge {
		if run := list.Find(runID); run != nil && run.Dir != "" {
			return runDir{dir: run.Dir, at: list.At}, nil // spares a request for each run of many
		}
	}
	return c.askDir(ctx, runID)
}

// listedDirAge is how old a list may be that says where runs live.
const listedDirAge = time.Minute

// askDir asks the Viewer where a run lives.
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

// relocated asks again where a run lives after a read of it failed as it does
// when the folder has moved, and reports whether it has.
func (c *Client) relocated(ctx context.Context, runID string, old runDir, err error) (runDir, bool) {
	if err != nil && !isKind(err, KindForbidden) {
		return runDir{}, false
	}
	c.dirs.forget(runID)
	d, err := c.askDir(ctx, runID)
	return d, err == nil && d.dir != old.dir
}

// dirCache remembers where runs live. It is dropped as a whole when full.
type dirCache struct {
	mu    sync.Mutex
	known map[string]runDir
}

const maxDirs = 20000

func (k *dirCache) put(runID string, d *RunDetail) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || len(k.known) >= maxDirs {
		k.known = make(map[string]runDir)
	}
	k.known[runID] = runDir{dir: d.Dir, events: d.EventPath, logs: d.LogPath, at: time.Now()}
}

func (k *dirCache) get(runID string) (runDir, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d, ok := k.known[runID]
	return d, ok
}

func (k *dirCache) forget(runID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, runID)
}

func (k *dirCache) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known = nil
}
