package httpapi

import (
	"archive/zip"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed page
var pageFiles embed.FS

// pagePolicy lets the pages load only resources of this server; no script or style is
// inline.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// firstPage is the page at "/". It shows commands with the gRPC port.
var firstPage = template.Must(template.ParseFS(pageFiles, "page/landing.html"))

// newPages returns the handler of everything that is not the API.
func newPages(cfg Config, protos []byte) (http.Handler, error) {
	p := &probes{health: cfg.Health, refused: cfg.Refused, log: cfg.Log}
	mux := http.NewServeMux()
	if err := addPages(mux, cfg.GRPCPort); err != nil {
		return nil, err
	}
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
	return mux, nil
}

// addPages adds the HTML pages, the first one and that of the API, with their scripts and
// styles.
func addPages(mux *http.ServeMux, grpcPort int) error {
	var first bytes.Buffer
	if err := firstPage.Execute(&first, grpcPort); err != nil {
		return fmt.Errorf("make the first page: %w", err)
	}
	mux.HandleFunc("GET /{$}", page("landing.html", first.Bytes()))
	files, err := pageFiles.ReadDir("page")
	if err != nil {
		return fmt.Errorf("list the files of the pages: %w", err)
	}
	for _, file := range files {
		content, err := pageFiles.ReadFile("page/" + file.Name())
		if err != nil {
			return fmt.Errorf("read a file of the pages: %w", err)
		}
		switch {
		case file.Name() == "docs.html":
			mux.HandleFunc("GET /docs", page(file.Name(), content))
		case path.Ext(file.Name()) != ".html":
			mux.HandleFunc("GET /page/"+file.Name(), page(file.Name(), content))
		}
	}
	return nil
}

// artifact serves a file that was made by code generation.
func artifact(name string, content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	}
}

// zipTime is the time of every file in a zip. Embedded files have none; this is the
// oldest time of the format, so no build tool sees a file from the future.
var zipTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// zipOf packs a tree of files; nil for none.
func zipOf(files fs.FS) ([]byte, error) {
	if files == nil {
		return nil, nil
	}
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		w, err := archive.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: zipTime})
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

// page serves an embedded file; the pages work without any other server.
func page(name string, content []byte) http.HandlerFunc {
	serve := artifact(name, content)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", pagePolicy)
		serve(w, r)
	}
}
