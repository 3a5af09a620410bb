package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
)

// demo is the built-in Viewers, on loopback like real ones. A nil demo has none.
type demo struct {
	entries   []fleet.Entry
	servers   []*http.Server
	listeners []net.Listener
}

// newDemo opens the built-in Viewers if --demo is set.
func newDemo(ctx context.Context, cfg *Config, log *slog.Logger) (*demo, error) {
	d := &demo{}
	if !cfg.Demo {
		return d, nil
	}
	for _, v := range []struct {
		name   string
		config demoviewer.Config
	}{
		{"demo", demoviewer.Config{Generation: demoviewer.Gen07, Live: true}},
		{"legacy", demoviewer.Config{Generation: demoviewer.Gen05}},
	} {
		if err := d.add(ctx, v.name, v.config, log); err != nil {
			return nil, errors.Join(fmt.Errorf("--demo: viewer %s: %w", v.name, err), d.close())
		}
	}
	return d, nil
}

// add opens one Viewer.
func (d *demo) add(ctx context.Context, name string, cfg demoviewer.Config, log *slog.Logger) error {
	viewer, err := demoviewer.New(cfg)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.entries = append(d.entries, fleet.Entry{Name: name, URL: "http://" + listener.Addr().String()})
	d.listeners = append(d.listeners, listener)
	d.servers = append(d.servers, &http.Server{
		Handler:           viewer,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	})
	return nil
}

// serve serves one of the Viewers until close.
func (d *demo) serve(i int) error {
	if err := d.servers[i].Serve(d.listeners[i]); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the demo viewer %s: %w", d.entries[i].Name, err)
	}
	return nil
}

// close stops the Viewers immediately; it is called when no call needs them any more.
func (d *demo) close() error {
	var failed error
	for i := range d.servers {
		failed = errors.Join(failed, d.servers[i].Close())
		if err := d.listeners[i].Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
