package rig

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// Heavy is a proxy in front of a Viewer that counts the heavy calls in flight: tables
// until their last byte, and zips until their first byte, when they are packed.
type Heavy struct {
	proxy    *httputil.ReverseProxy
	server   *http.Server
	listener net.Listener
	serving  sync.WaitGroup

	mu          sync.Mutex
	now, most   int
	calls       int
	files, peak int
}

// NewHeavy starts the proxy.
func NewHeavy(viewerURL string) (*Heavy, error) {
	target, err := url.Parse(viewerURL)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &Heavy{listener: listener, proxy: &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: packed, FlushInterval: -1,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // clients disconnect before the end
	}}
	h.server = &http.Server{Handler: h} //nolint:gosec // only our own server calls
	h.serving.Go(func() { _ = h.server.Serve(listener) })
	return h, nil
}

// URL returns the URL of the proxy.
func (h *Heavy) URL() string { return "http://" + h.listener.Addr().String() }

// Most returns the number of heavy calls, the maximum number of them in flight, and the
// same maximum for files.
func (h *Heavy) Most() (calls, heavy, files int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls, h.most, h.peak
}

// Close ends the proxy and all calls.
func (h *Heavy) Close() error {
	err := h.server.Close()
	h.serving.Wait()
	return err
}

// leaving is the context key of the function that ends a call's count.
type leaving struct{}

// packed ends the count of a zip when its headers arrive.
func packed(resp *http.Response) error {
	if out, ok := resp.Request.Context().Value(leaving{}).(func()); ok {
		out()
	}
	return nil
}

// ServeHTTP counts and forwards a call.
func (h *Heavy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Query().Get("path")
	switch {
	case strings.HasSuffix(r.URL.Path, "/metrics_step"):
		defer h.enter(&h.now, &h.most)()
	case strings.HasSuffix(path, ".json") && strings.Contains(path, "/manifests/"):
		out := h.enter(&h.now, &h.most)
		defer out()
		r = r.WithContext(context.WithValue(r.Context(), leaving{}, out))
	case path != "":
		defer h.enter(&h.files, &h.peak)()
	}
	h.proxy.ServeHTTP(w, r)
}

// enter counts a call, and returns the function that ends its count.
func (h *Heavy) enter(now, most *int) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now == &h.now {
		h.calls++
	}
	*now++
	*most = max(*most, *now)
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		*now--
	})
}
