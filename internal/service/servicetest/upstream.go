package servicetest

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Counted returns the counter of the requests to a Viewer whose path contains a text.
func (u *Upstream) Counted(text string) *atomic.Int64 {
	n := &atomic.Int64{}
	u.Replace(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, text) {
			n.Add(1)
		}
		return false
	})
	return n
}

// ServeDownload answers downloads whose path has the suffix.
func (u *Upstream) ServeDownload(suffix string, answer http.HandlerFunc) {
	u.Replace(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/assets/download") || !strings.HasSuffix(r.URL.Query().Get("path"), suffix) {
			return false
		}
		answer(w, r)
		return true
	})
}

// serveText answers downloads whose path has the suffix with a text, and supports ranges.
func (u *Upstream) serveText(suffix, etag, text string) {
	u.ServeDownload(suffix, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
	})
}

// ServeEvents replaces the event file of every run.
func (u *Upstream) ServeEvents(text string) { u.serveText("events.jsonl", `"e"`, text) }
