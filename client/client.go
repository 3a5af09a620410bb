// Package client is the Go client of runicorn-grpc servers: it lists experiments,
// reads complete histories, follows runs over every break of a connection, and
// saves exports.
//
//	c, err := client.New("127.0.0.1:23310")
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	for event, err := range c.Tail(ctx, &runicornapiv1.TailMetricsRequest{RunIds: []string{runID}}) {
//		if err != nil {
//			return err
//		}
//		for p := range event.Points() {
//			fmt.Println(p.Step, p.Metric, p.Value)
//		}
//	}
//
// Requests and records are the messages of the contract, package runicornapiv1;
// every RPC that has no method of its own here is one of the service clients
// that Client has as fields. All errors of calls are [*Error].
//
// What only reads is tried again where a connection breaks; what changes
// something is never sent twice.
package client

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// DefaultAddress is where servers listen by default.
const DefaultAddress = "127.0.0.1:" + defaultPort

const (
	defaultPort    = "23310"
	defaultRetries = 3
)

// Client is a client of one server. It is safe for concurrent use. Its calls
// connect when they need to; Close ends them all.
type Client struct {
	ExperimentService runicornapiv1.ExperimentServiceClient
	MetricService     runicornapiv1.MetricServiceClient
	ArtifactService   runicornapiv1.ArtifactServiceClient
	RemoteService     runicornapiv1.RemoteServiceClient
	ViewerService     runicornapiv1.ViewerServiceClient

	conn *connection
}

// New returns a client of the server at address, "host:port". An empty address is
// $RUNICORN_GRPC_ADDRESS, or DefaultAddress without it. An address that begins
// with https:// is one with TLS.
//
// New opens no connection: a server that does not answer is an error of the first
// call. New fails only if the address or a dial option cannot be used.
func New(address string, options ...Option) (*Client, error) {
	c := &config{token: os.Getenv("RUNICORN_GRPC_TOKEN"), retries: defaultRetries}
	for _, option := range options {
		option(c)
	}
	if address == "" {
		address = os.Getenv("RUNICORN_GRPC_ADDRESS")
	}
	if address == "" {
		address = DefaultAddress
	}
	target, secure, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	if c.tls == nil && !c.plaintext && (secure || c.token != "" && !isLocal(target)) {
		WithTLS(nil)(c)
	}
	conn, err := newConnection(target, c)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	return &Client{
		ExperimentService: runicornapiv1.NewExperimentServiceClient(conn),
		MetricService:     runicornapiv1.NewMetricServiceClient(conn),
		ArtifactService:   runicornapiv1.NewArtifactServiceClient(conn),
		RemoteService:     runicornapiv1.NewRemoteServiceClient(conn),
		ViewerService:     runicornapiv1.NewViewerServiceClient(conn),
		conn:              conn,
	}, nil
}

// Close closes the connection. Calls that have not ended fail.
func (c *Client) Close() error { return c.conn.Close() }

// Option is an option of New.
type Option func(*config)

type config struct {
	token     string
	tls       *tls.Config
	plaintext bool
	retries   int
	onRetry   func(Retry)
	dial      []grpc.DialOption
}

// WithToken gives the token for servers that demand one, instead of
// $RUNICORN_GRPC_TOKEN.
func WithToken(token string) Option { return func(c *config) { c.token = token } }

// WithTLS turns TLS on with this configuration; nil is one that trusts what the
// system trusts. Without this option and WithPlaintext, TLS is on for https://
// addresses, and where a token would leave this machine.
func WithTLS(cfg *tls.Config) Option {
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return func(c *config) { c.tls = cfg.Clone() }
}

// TrustFile returns a configuration for WithTLS that trusts the certificates of a file (PEM)
// instead of the system's.
func TrustFile(path string) (*tls.Config, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
	}
	return cfg, nil
}

// WithPlaintext turns TLS off even where a token is sent over a network: anyone
// on the way can read it.
func WithPlaintext() Option { return func(c *config) { c.plaintext = true } }

// WithRetries says how often a read is tried again in a row, 3 times by default,
// before its error is returned. Live streams are resumed without an end once
// their first message has come; their context ends them.
func WithRetries(retries int) Option { return func(c *config) { c.retries = max(retries, 0) } }

// WithOnRetry has a function called before each wait for another attempt, for
// logs. It may be called by several calls at once.
func WithOnRetry(f func(Retry)) Option { return func(c *config) { c.onRetry = f } }

// WithDialOptions adds options to those with which the client dials.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial, options...) }
}

// Retry is an attempt that failed and will be made again.
type Retry struct {
	Method string        // such as "TailMetrics"
	Err    error         // why it failed
	Wait   time.Duration // until the next attempt
	Count  int           // attempts that have failed in a row
}

// parseAddress returns the target for grpc, and whether the address asks for TLS.
func parseAddress(address string) (target string, secure bool, err error) {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "", address
	}
	switch scheme {
	case "", "http", "https", "grpc", "grpcs":
	case "dns", "unix", "passthrough":
		return address, false, nil
	default:
		return "", false, fmt.Errorf("address %q: want host:port", address)
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.HasPrefix(rest, "unix:") {
		return rest, false, nil
	}
	if !strings.Contains(rest[strings.LastIndex(rest, "]")+1:], ":") {
		rest += ":" + defaultPort
	}
	host, _, err := net.SplitHostPort(rest)
	if err != nil || host == "" && rest[0] == ':' && scheme != "" || strings.Contains(host, "/") {
		return "", false, fmt.Errorf("address %q: want host:port", address)
	}
	return rest, scheme == "https" || scheme == "grpcs", nil
}

// isLocal says whether only this machine can be at a target.
func isLocal(target string) bool {
	if strings.HasPrefix(target, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Conn is the connection for the stubs of services that the contract does not have. Its
// calls have the token and errors of type *Error.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }
