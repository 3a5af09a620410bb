package demoviewer

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"time"
)

// download is a file to be sent.
type download struct {
	name     string // in Content-Disposition
	modified time.Time
	content  *io.SectionReader
}

// bytesDownload serves a whole file from memory.
func bytesDownload(name string, raw []byte, modified time.Time) *download {
	return &download{name, modified, io.NewSectionReader(bytes.NewReader(raw), 0, int64(len(raw)))}
}

// serve writes the file or the requested range. The real Viewer ignores If-None-Match and
// If-Modified-Since.
func (d *download) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", mediaType(d.name))
	h.Set("Content-Disposition", disposition(d.name))
	sum := md5.Sum(fmt.Appendf(nil, "%v-%d", Epoch(d.modified), d.content.Size()))
	h.Set("Etag", `"`+hex.EncodeToString(sum[:])+`"`)
	if d.content.Size() == 0 && r.Header.Get("Range") != "" { // ServeContent would answer 200
		h.Set("Content-Range", "bytes */0")
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	asked := r.Clone(r.Context())
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"} {
		asked.Header.Del(name)
	}
	http.ServeContent(w, asked, "", d.modified, d.content)
}

// mediaType guesses like Python on a machine without extra types: .jsonl is unknown.
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

// disposition quotes the name like Starlette.
func disposition(name string) string {
	if quoted := url.PathEscape(name); quoted != name {
		return "attachment; filename*=utf-8''" + quoted
	}
	return `attachment; filename="` + name + `"`
}
