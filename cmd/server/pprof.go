package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof" // served on a separate address, never on that of HTTP
	"time"
)

// profiles serves the profiles of Go's runtime. A nil profiles serves none.
type profiles struct {
	listener net.Listener
	http     *http.Server
}

// newProfiles listens at an address; it returns nil for an empty one.
func newProfiles(ctx context.Context, addr string) (*profiles, error) {
	if addr == "" {
		return nil, nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--pprof-listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return &profiles{listener, &http.Server{Handler: onlyLoopback(mux), ReadHeaderTimeout: 10 * time.Second}}, nil
}

// onlyLoopback refuses requests with other host names, by which web pages could reach
// loopback.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) || r.Header.Get("Origin") != "" {
			http.Error(w, "profiles are served to this machine only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serve serves until close.
func (p *profiles) serve() error {
	if p == nil {
		return nil
	}
	return ignoreClosed(p.http.Serve(p.listener))
}

// close aborts the profiles in progress.
func (p *profiles) close() error {
	if p == nil {
		return nil
	}
	return p.http.Close()
}
