// Package client is the Go client of runicorn-grpc servers: it lists experiments,
// reads complete histories, follows runs across connection failures, and saves
// exports.
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
// Requests and records are the messages of the contract, package runicornapiv1.
// RPCs without a method of Client are called on the service clients, which are
// fields of Client. Errors of the server and of the connection are [*Error].
//
// Reads are retried after connection failures; changes are never sent twice.
package client

import (
	"cmp"
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

// Client is a client of one server. It is safe for concurrent use. It connects at
// the first call; Close ends all calls.
type Client struct {
	ExperimentService runicornapiv1.ExperimentServiceClient
	MetricService     runicornapiv1.MetricServiceClient
	ArtifactService   runicornapiv1.ArtifactServiceClient
	RemoteService     runicornapiv1.RemoteServiceClient
	ViewerService     runicornapiv1.ViewerServiceClient

	conn *connection
}

// New returns a client of the server at address, "host:port". If address is empty,
// New uses $RUNICORN_GRPC_ADDRESS, or DefaultAddress if that is not set. An address
// that begins with https:// uses TLS.
//
// New opens no connection: if the server does not answer, the first call fails. New
// fails only if the address or a dial option is invalid.
func New(address string, options ...Option) (*Client, error) {
	c := &config{token: os.Getenv("RUNICORN_GRPC_TOKEN"), retries: defaultRetries}
	for _, option := range options {
		option(c)
	}
	address = cmp.Or(address, os.Getenv("RUNICORN_GRPC_ADDRESS"), DefaultAddress)
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

// Close closes the connection. Open calls fail.
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

// WithToken sets the token for servers that require one, instead of
// $RUNICORN_GRPC_TOKEN.
func WithToken(token string) Option { return func(c *config) { c.token = token } }

// WithTLS enables TLS with this configuration; nil trusts the system's certificate
// authorities. Without this option and WithPlaintext, TLS is on for https://
// addresses, and if a token would leave this machine.
func WithTLS(cfg *tls.Config) Option {
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return func(c *config) { c.tls = cfg.Clone() }
}

// TrustFile returns a configuration for WithTLS that trusts the certificates in a PEM
// file instead of the system's.
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

// WithPlaintext disables TLS even if a token is sent over a network, where others can
// read it.
func WithPlaintext() Option { return func(c *config) { c.plaintext = true } }

// WithRetries sets the maximum number of consecutive retries of a read, by default 3;
// then its error is returned. Once a live stream has received its first message, it is
// resumed without a limit, until its context ends.
func WithRetries(retries int) Option { return func(c *config) { c.retries = max(retries, 0) } }

// WithOnRetry sets a function that is called before the delay of each retry, for
// logging. Concurrent calls may call it concurrently.
func WithOnRetry(f func(Retry)) Option { return func(c *config) { c.onRetry = f } }

// WithDialOptions adds dial options to those of the client.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial, options...) }
}

// Retry is a failed attempt that will be retried.
type Retry struct {
	Method string        // such as "TailMetrics"
	Err    error         // error of the attempt
	Wait   time.Duration // delay until the next attempt
	Count  int           // consecutive failed attempts
}

// parseAddress returns the target for grpc, and whether the address requires TLS.
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

// isLocal reports whether a target is always on this machine.
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

// Conn returns the connection, for stubs of services outside the contract. Its calls
// send the token and return errors of type *Error.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }
