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

// certificate is a key pair in two files, and the issuers of client certificates in a
// third one. Changed files are used for the next handshake; open connections are not
// affected.
type certificate struct {
	certFile, keyFile, clientCA string
	clientAuth                  tls.ClientAuthType
	log                         *slog.Logger

	mu        sync.Mutex
	modTimes  [3]time.Time // of the files when they were last read
	loaded    *tls.Certificate
	clientCAs *x509.CertPool // nil without client certificates
}

// newCertificate loads the files of the flags; nil without the flags.
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
// certificates, sessions are not resumed, so that every connection checks the current
// issuers.
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

// current returns the content of the files, which it reads again if one has changed. If
// that fails, as between the writing of two files, the old content stays in use.
func (c *certificate) current() (*tls.Certificate, *x509.CertPool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if modTimes := c.statModTimes(); modTimes != c.modTimes {
		if err := c.load(); err != nil {
			c.log.Warn("the changed certificate cannot be used, the old one stays in use", slog.Any("error", err))
		} else {
			c.log.Info("certificate reloaded", slog.String("file", c.certFile))
		}
	}
	return c.loaded, c.clientCAs
}

// errClientCA: the file of --tls-client-ca cannot be used.
var errClientCA = errors.New("read the certificates of those who issue client certificates")

// load reads the files. The caller holds mu, or c is not shared yet.
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

// statModTimes returns the modification times of the files; that of a missing file is
// zero.
func (c *certificate) statModTimes() (modTimes [3]time.Time) {
	for i, name := range []string{c.certFile, c.keyFile, c.clientCA} {
		if info, err := os.Stat(name); err == nil {
			modTimes[i] = info.ModTime()
		}
	}
	return modTimes
}

// listenerTLS passes the TLS state of the listener to the gRPC server, so that calls know
// the certificate of their client. The in-memory connection has none.
type listenerTLS struct{}

// ServerHandshake completes the handshake of a connection.
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

// ClientHandshake is not used.
func (listenerTLS) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for servers")
}

// Info describes the protocol.
func (listenerTLS) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone returns c.
func (c listenerTLS) Clone() credentials.TransportCredentials { return c }

// OverrideServerName does nothing.
func (listenerTLS) OverrideServerName(string) error { return nil }
