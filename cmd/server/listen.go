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

// memoryBuffer is what the in-memory connection holds in each direction
// before its writer waits, as much as a socket does.
const memoryBuffer = 1 << 20

// listeners are all the ways into the process. They are opened before anything
// serves, so that a taken port is known at once.
type listeners struct {
	grpc, http net.Listener
	// memory is where the HTTP side reaches the gRPC server: TLS, the limit of
	// connections and the network are not between them.
	memory *bufconn.Listener
}

// listen opens the ports. TLS is done here and not by the servers, because the
// gRPC server serves the plain in-memory listener too.
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

// grpcPort is the port of gRPC.
func (l *listeners) grpcPort() int {
	if addr, ok := l.grpc.Addr().(*net.TCPAddr); ok {
		return addr.Port
	}
	return 0
}

// close closes what is still open; the servers close what they serve.
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
