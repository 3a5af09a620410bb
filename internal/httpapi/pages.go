package httpapi

import (
	"archive/zip"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"
)

//go:embed page
var pageFiles embed.FS

// pagePolicy lets a page of ours load what we serve, and nothing else; no
// script or style is inline.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// newPages returns the handler of everything that is not the API.
func newPages(cfg Config, protos []byte) http.Handler {
	p := &probes{health: cfg.Health, refused: cfg.Refused, log: cfg.Log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page("landing.html"))
	mux.HandleFunc("GET /docs", page("docs.html"))
	mux.HandleFunc("GET /docs/docs.js", page("docs.js"))
	mux.HandleFunc("GET /chart.js", page("chart.js"))
	mux.HandleFunc("GET /live.js", page("live.js"))
	mux.HandleFunc("GET /style.css", page("style.css"))
	mux.HandleFunc("GET /openapi.json", artifact("openapi.json", cfg.OpenAPI))
	if protos != nil {
		mux.HandleFunc("GET /protos.zip", artifact("protos.zip", protos))
	}
	mux.HandleFunc("GET /healthz", p.healthz)
	mux.HandleFunc("GET /readyz", p.readyz)
	if cfg.Metrics != nil {
		mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
			if err := cfg.AdmitMetrics(r.Context()); err != nil {
				p.refuse(w, r, err)
				return
			}
			cfg.Metrics.ServeHTTP(w, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		get := r.Clone(r.Context())
		get.Method = http.MethodGet
		if _, pattern := mux.Handler(get); pattern != "/" {
			writeNoMethod(w, r, []string{http.MethodGet, http.MethodHead})
			return
		}
		writeNoRoute(w, r)
	})
	return mux
}

// artifact serves a file made at generation time.
func artifact(name string, content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	}
}

// zipTime is the time of every file in a zip: embedded files have none, and
// the oldest that the format can hold makes no build tool think of the future.
var zipTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// zipOf packs a tree of files; nil for none.
func zipOf(files fs.FS) ([]byte, error) {
	if files == nil {
		return nil, nil
	}
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		w, err := archive.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Deflate, Modified: zipTime})
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err := errors.Join(err, archive.Close()); err != nil {
		return nil, fmt.Errorf("pack the protos: %w", err)
	}
	return out.Bytes(), nil
}

// page serves one of our own files, which work without any other server.
func page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", pagePolicy)
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, pageFiles, "page/"+name)
	}
}
