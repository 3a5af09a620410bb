package demoviewer

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// download is a file on its way out, with Starlette's rules: ranges yes, conditional requests no.
type download struct {
	name     string // in Content-Disposition
	size     int64
	modified time.Time
	write    func(w io.Writer, from, to int64) error
}

// bytesDownload serves a whole file from memory.
func bytesDownload(name string, raw []byte, modified time.Time) *download {
	return &download{name: name, size: int64(len(raw)), modified: modified, write: func(w io.Writer, from, to int64) error {
		_, err := w.Write(raw[from:to])
		return err
	}}
}

// serve writes the file or the asked range of it. If-None-Match and If-Modified-Since are ignored, as measured.
func (d *download) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	etag, modified := d.etag(), d.modified.UTC().Format(http.TimeFormat)
	asked := r.Header.Get("Range")
	if cond := r.Header.Get("If-Range"); cond != "" && cond != etag && cond != modified {
		asked = ""
	}
	from, to, status, problem := int64(0), d.size, http.StatusOK, ""
	if asked != "" {
		from, to, status, problem = parseRange(asked, d.size)
	}
	if status >= 400 {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		if status == http.StatusRequestedRangeNotSatisfiable {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", d.size))
		}
		h.Set("Content-Length", strconv.Itoa(len(problem)))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, problem) // a failing write means that the client has gone
		return
	}
	h.Set("Content-Type", mediaType(d.name))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Disposition", disposition(d.name))
	h.Set("Etag", etag)
	h.Set("Last-Modified", modified)
	h.Set("Content-Length", strconv.FormatInt(to-from, 10))
	if status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, d.size))
	}
	w.WriteHeader(status)
	if err := d.write(w, from, to); err != nil {
		panic(http.ErrAbortHandler) // the only way to tell the client that the body is not whole
	}
}

// etag changes with the size and the time of the last change.
func (d *download) etag() string {
	sum := md5.Sum(fmt.Appendf(nil, "%v-%d", epoch(d.modified), d.size))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// parseRange reads a Range header for a file of size bytes as from (inclusive) and to (exclusive). Several ranges, which
// the real Viewer answers as multipart, are not in the demo.
func parseRange(header string, size int64) (from, to int64, status int, problem string) {
	unit, spec, found := strings.Cut(header, "=")
	if !found {
		return 0, 0, http.StatusBadRequest, "Malformed range header."
	}
	if strings.ToLower(strings.TrimSpace(unit)) != "bytes" {
		return 0, 0, http.StatusBadRequest, "Only support bytes range"
	}
	if strings.Contains(spec, ",") {
		return 0, 0, http.StatusNotImplemented, "The built-in demo Viewer serves one range at a time"
	}
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	start, errStart := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	end, errEnd := strconv.ParseInt(strings.TrimSpace(last), 10, 64)
	switch {
	case !dash, first == "" && errEnd != nil, first != "" && errStart != nil, last != "" && errEnd != nil:
		return 0, 0, http.StatusBadRequest, "Range header: range must be requested"
	case first == "":
		from, to = max(size-end, 0), size
	case last != "" && end < size:
		from, to = start, end+1
	default:
		from, to = start, size
	}
	switch {
	case from < 0 || from >= size:
		return 0, 0, http.StatusRequestedRangeNotSatisfiable, ""
	case from >= to:
		return 0, 0, http.StatusBadRequest, "Range header: start must be less than end"
	}
	return from, to, http.StatusPartialContent, ""
}

// mediaType guesses as Python does on a machine without extra types: .jsonl is unknown to it.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".json":
		return "application/json"
	case ".txt":
		return "text/plain; charset=utf-8"
	case ".png":
		return "image/png"
	case ".zip":
		return "application/zip"
	default:
		return "application/octet-stream"
	}
}

// disposition quotes the name in the form that Starlette chooses.
func disposition(name string) string {
	var quoted bytes.Buffer
	for _, b := range []byte(name) {
		if strings.IndexByte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~/", b) >= 0 {
			quoted.WriteByte(b)
		} else {
			fmt.Fprintf(&quoted, "%%%02X", b)
		}
	}
	if quoted.String() == name {
		return `attachment; filename="` + name + `"`
	}
	return "attachment; filename*=utf-8''" + quoted.String()
}
