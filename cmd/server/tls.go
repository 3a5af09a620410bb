package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// certificate is a key pair in two files, and in a third one those who issue the
// certificates of clients. Renewed ones are used for the next handshake; connections that
// are open keep theirs.
type certificate struct {
	certFile, keyFile, clientCA string
	clientAuth                  tls.ClientAuthType
	log                         *slog.Logger

	mu        sync.Mutex
	modTimes  [3]time.Time // of the files when they were last read
	loaded    *tls.Certificate
	clientCAs *x509.CertPool // nil where clients show no certificates
}

// newCertificate loads the pair of the flags, or returns nil without them.
func newCertificate(cfg *Config, log *slog.Logger) (*certificate, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	c := &certificate{certFile: cfg.TLSCert, keyFile: cfg.TLSKey, clientCA: cfg.TLSClientCA, clientAuth: tls.VerifyClientCertIfGiven, log: log}
	if cfg.TLSClientAuth == "required" {
		c.clientAuth = tls.RequireAndVerifyClientCert
	}
	if err := c.load(); errors.Is(err, errClientCA) {
		return nil, badFlag("tls-client-ca", "%w", err)
	} else if err != nil {
		return nil, badFlag("tls-cert", "%w", err)
	}
	warnOfReaders(cfg.TLSKey, "the private key", log)
	return c, nil
}

// config returns a server configuration that offers the protocols. With client
// certificates every connection has a full handshake, so that one of an issuer that is
// not trusted any more is refused.
func (c *certificate) config(protocols ...string) *tls.Config {
	own := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, _ := c.current()
			return pair, nil
		},
	}
	if c.clientCA == "" {
		return own
	}
	own.SessionTicketsDisabled = true
	each := own.Clone()
	own.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := each.Clone()
		now.ClientAuth = c.clientAuth
		_, now.ClientCAs = c.current()
		return now, nil
	}
	return own
}

// current returns what is in the files, read again if one has changed. Where that
// fails, as it does between the writing of two files, the old ones stay.
func (c *certificate) current() (*tls.Certificate, *x509.CertPool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if modTimes := c.statModTimes(); modTimes != c.modTimes {
		if err := c.load(); err != nil {
			c.log.Warn("the changed certificate cannot be used, the old one stays", slog.Any("error", err))
		} else {
			c.log.Info("certificate reloaded", slog.String("file", c.certFile))
		}
	}
	return c.loaded, c.clientCAs
}

// errClientCA says that the file of --tls-client-ca cannot be used.
var errClientCA = errors.New("read the certificates of those who issue client certificates")

// load reads the files. It is called with mu held, or before c is shared.
func (c *certificate) load() error {
	c.modTimes = c.statModTimes()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read the certificate and its key: %w", err)
	}
	var issuers *x509.CertPool
	if c.clientCA != "" {
		text, err := os.ReadFile(c.clientCA)
		if err != nil {
			return fmt.Errorf("%w: %w", errClientCA, err)
		}
		if issuers = x509.NewCertPool(); !issuers.AppendCertsFromPEM(text) {
			return fmt.Errorf("%w: %s holds none in PEM form", errClientCA, c.clientCA)
		}
	}
	c.loaded, c.clientCAs = &pair, issuers
	return nil
}

// statModTimes returns when the files were last written; a missing one has no time.
func (c *certificate) statModTimes() (modTimes [3]time.Time) {
	for i, name := range []string{c.certFile, c.keyFile, c.clientCA} {
		if info, err := os.Stat(name); err == nil {
			modTimes[i] = info.ModTime()
		}
	}
	return modTimes
}

// listenerTLS tells the gRPC server of the TLS that its listener has done, so that calls
// know the certificate of their client. The connection in memory has none.
type listenerTLS struct{}

// ServerHandshake ends the handshake of a connection.
func (listenerTLS) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	over, ok := conn.(*tls.Conn)
	if !ok {
		return conn, nil, nil
	}
	if err := over.Handshake(); err != nil { //nolint:noctx // the server has set a deadline
		return nil, nil, err
	}
	return conn, credentials.TLSInfo{State: over.ConnectionState()}, nil
}

// ClientHandshake is for clients, of which there are none.
func (listenerTLS) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for servers")
}

// Info describes the protocol.
func (listenerTLS) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone returns the same.
func (c listenerTLS) Clone() credentials.TransportCredentials { return c }

// OverrideServerName does nothing.
func (listenerTLS) OverrideServerName(string) error { return nil }
