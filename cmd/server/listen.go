package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc/test/bufconn"
)

// memoryBuffer is the buffer of the in-memory connection in each direction, in bytes,
// about that of a socket.
const memoryBuffer = 1 << 20

// listeners are all listeners of the process. They are opened before anything serves, so
// that a port in use is an error at the start.
type listeners struct {
	grpc, http net.Listener
	// memory is the listener on which the HTTP side reaches the gRPC server, without TLS,
	// network and the limit of connections.
	memory *bufconn.Listener
}

// listen opens the ports. TLS is terminated here and not by the servers, because the gRPC
// server also serves the plain in-memory listener.
func listen(ctx context.Context, cfg *Config, cert *certificate) (*listeners, error) {
	l := &listeners{memory: bufconn.Listen(memoryBuffer)}
	for _, port := range []struct {
		address
		listener  *net.Listener
		protocols []string
	}{
		{cfg.addresses()[0], &l.grpc, []string{"h2"}},
		{cfg.addresses()[1], &l.http, []string{"h2", "http/1.1"}},
	} {
		var config net.ListenConfig
		raw, err := config.Listen(ctx, "tcp", port.value)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("--%s: %w", port.flag, err), l.close())
		}
		*port.listener = netutil.LimitListener(raw, cfg.MaxConnections)
		if cert != nil {
			*port.listener = tls.NewListener(*port.listener, cert.config(port.protocols...))
		}
	}
	return l, nil
}

// grpcPort returns the gRPC port.
func (l *listeners) grpcPort() int {
	if addr, ok := l.grpc.Addr().(*net.TCPAddr); ok {
		return addr.Port
	}
	return 0
}

// close closes the listeners that no server serves; servers close their own.
func (l *listeners) close() error {
	var failed error
	for _, listener := range []net.Listener{l.grpc, l.http, l.memory} {
		if listener == nil {
			continue
		}
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
