package restclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// maxCredentialFile is the maximum size of a credential file in bytes.
const maxCredentialFile = 1 << 20

// upstream is the transport to a Viewer behind a proxy with its own certificate, or that
// requires an Authorization header. Both files are reloaded when they change; if a new
// version is unusable, the previous one stays in use. The header is sent to the Viewer's
// own address only.
type upstream struct {
	base *url.URL
	new  func() *http.Transport
	log  *slog.Logger

	mu        sync.Mutex
	ca, auth  watchedFile
	transport *http.Transport
	header    string
}

// watchedFile is a file that may change; it is unused if path is empty.
type watchedFile struct {
	path string
	size int64
	at   time.Time
}

// changed reads the file if it has changed since the last call.
func (f *watchedFile) changed() (content []byte, changed bool, err error) {
	if f.path == "" {
		return nil, false, nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, false, err
	}
	if info.Size() == f.size && info.ModTime().Equal(f.at) {
		return nil, false, nil
	}
	f.size, f.at = info.Size(), info.ModTime() // also for an unusable file, which is then reported once
	file, err := os.Open(f.path)
	if err != nil {
		return nil, true, err
	}
	content, err = io.ReadAll(io.LimitReader(file, maxCredentialFile))
	return content, true, errors.Join(err, file.Close())
}

// newUpstream loads both files for the first time.
func newUpstream(cfg Config, base *url.URL) (*upstream, error) {
	u := &upstream{
		base: base, ca: watchedFile{path: cfg.CAFile}, auth: watchedFile{path: cfg.AuthFile},
		new: newTransport, log: cfg.Log,
	}
	u.transport = u.new()
	if err := u.reload(); err != nil {
		return nil, err
	}
	return u, nil
}

// reload loads the files that have changed. u.mu must be held, except in newUpstream.
func (u *upstream) reload() error {
	ca, changed, err := u.ca.changed()
	if err == nil && changed {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return fmt.Errorf("the CA file %s holds no certificate in PEM form", u.ca.path)
		}
		u.transport.CloseIdleConnections()
		u.transport = u.new()
		u.transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	if err != nil {
		return fmt.Errorf("read the CA file: %w", err)
	}
	header, changed, err := u.auth.changed()
	if err == nil && changed {
		text := strings.TrimSpace(string(header))
		if text == "" || !httpguts.ValidHeaderFieldValue(text) {
			return fmt.Errorf("the file %s must hold the value of an Authorization header on one line, such as Bearer TOKEN", u.auth.path)
		}
		u.header = text
	}
	if err != nil {
		return fmt.Errorf("read the file of the Authorization header: %w", err)
	}
	return nil
}

// RoundTrip sends a request with the current contents of the files.
func (u *upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	u.mu.Lock()
	if err := u.reload(); err != nil && u.log != nil {
		u.log.Warn("credentials of the viewer not reloaded", slog.String("host", u.base.Host), slog.Any("error", err))
	}
	transport, header := u.transport, u.header
	u.mu.Unlock()
	if req.URL.Host != u.base.Host || !sameScheme(req.URL.Scheme, u.base.Scheme) {
		return nil, errOtherHost
	}
	if header != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", header)
	}
	return transport.RoundTrip(req)
}

var errOtherHost = errors.New("the request is for another host than the viewer's")

// sameScheme reports whether a request uses the Viewer's scheme. A WebSocket counts as
// HTTP.
func sameScheme(a, b string) bool { return strings.Replace(a, "ws", "http", 1) == b }

// CloseIdleConnections closes idle connections.
func (u *upstream) CloseIdleConnections() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.transport.CloseIdleConnections()
}
