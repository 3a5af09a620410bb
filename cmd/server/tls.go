package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a key pair in two files. A renewed one is used for the next
// handshake; connections that are open keep theirs.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu       sync.Mutex
	modTimes [2]time.Time // of the files when they were last read
	loaded   *tls.Certificate
}

// newCertificate loads the pair of the flags, or returns nil without them.
func newCertificate(cfg *Config, log *slog.Logger) (*certificate, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	c := &certificate{certFile: cfg.TLSCert, keyFile: cfg.TLSKey, log: log}
	if err := c.load(); err != nil {
		return nil, badFlag("tls-cert", "%w", err)
	}
	warnOfReaders(cfg.TLSKey, "the private key", log)
	return c, nil
}

// config returns a server configuration that offers the protocols.
func (c *certificate) config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current(), nil
		},
	}
}

// current returns the pair, read again if a file has changed. Where that
// fails, as it does between the writing of the two files, the old pair stays.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if modTimes := c.statModTimes(); modTimes != c.modTimes {
		if err := c.load(); err != nil {
			c.log.Warn("the changed certificate cannot be used, the old one stays", slog.Any("error", err))
		} else {
			c.log.Info("certificate reloaded", slog.String("file", c.certFile))
		}
	}
	return c.loaded
}

// load reads the files. It is called with mu held, or before c is shared.
func (c *certificate) load() error {
	c.modTimes = c.statModTimes()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read the certificate and its key: %w", err)
	}
	c.loaded = &pair
	return nil
}

// statModTimes returns when the files were last written; a missing one has no time.
func (c *certificate) statModTimes() (modTimes [2]time.Time) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			modTimes[i] = info.ModTime()
		}
	}
	return modTimes
}
