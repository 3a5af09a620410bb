// Package dataserver is the mode in which TensorBoard starts the binary as its data server.
// It forwards TensorBoard's requests to a runicorn-grpc server, over TLS if required, and
// adds the token, which TensorBoard cannot send.
//
// TensorBoard starts it with the options of its own data server. The logdir among them is a
// URL that selects the server and the experiments. The package must not depend on the content
// of responses.
package dataserver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
)

const (
	portFlag = "port-file"
	// startTimeout bounds the first request to the server. TensorBoard waits ten seconds for
	// the port.
	startTimeout = 8 * time.Second
	maxMessage   = 256 << 20 // the limit of TensorBoard, in bytes

	scheme    = "runicorn"
	schemeTLS = "runicorn+tls"
)

// IsStarted reports whether TensorBoard has started this process: no other command line has
// the flag for the port file.
func IsStarted(args []string) bool {
	for _, arg := range args {
		if strings.HasPrefix(strings.TrimLeft(arg, "-"), portFlag+"=") {
			return true
		}
	}
	return false
}

// options is the part of TensorBoard's command line that is used.
type options struct {
	logdir    string
	port      int
	portFile  string
	errorFile string
	untilEOF  bool
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("data server", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.logdir, "logdir", "", "")
	flags.IntVar(&o.port, "port", 0, "")
	flags.StringVar(&o.portFile, portFlag, "", "")
	flags.StringVar(&o.errorFile, "error-file", "", "")
	flags.BoolVar(&o.untilEOF, "die-after-stdin", false, "")
	// Not needed: the server always returns current data, and each request has its sample size.
	flags.String("reload", "", "")
	flags.String("samples-per-plugin", "", "")
	flags.Bool("verbose", false, "")
	return o, flags.Parse(args)
}

// Run serves TensorBoard until ctx is done or stdin ends. The error is written to the error
// file, which TensorBoard shows to its user.
func Run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader) error {
	o, err := parse(args)
	if err == nil {
		err = serve(ctx, &o, getenv, stdin)
	}
	if err != nil && o.errorFile != "" {
		err = errors.Join(err, os.WriteFile(o.errorFile, []byte("runicorn-grpc: "+err.Error()+"\n"), 0o600))
	}
	return err
}

func serve(ctx context.Context, o *options, getenv func(string) string, stdin io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	to, err := parseLogdir(o.logdir)
	if err != nil {
		return err
	}
	c, err := to.connect(getenv)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // no calls are in flight
	p := &provider{conn: c.Conn(), server: tensorboardpb.NewTensorBoardDataProviderClient(c.Conn()), experiment: to.experiment}
	if err := p.check(ctx, to.address); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("localhost", strconv.Itoa(o.port)))
	if err != nil {
		return fmt.Errorf("listen for TensorBoard: %w", err)
	}
	s := grpc.NewServer(grpc.MaxSendMsgSize(maxMessage), grpc.UnaryInterceptor(p.forward))
	tensorboardpb.RegisterTensorBoardDataProviderServer(s, p)
	defer context.AfterFunc(ctx, s.Stop)()
	if o.untilEOF {
		go func() { // ends with stdin, at the latest when the process exits
			_, _ = io.Copy(io.Discard, stdin) // an error is also the end of stdin
			cancel()
		}()
	}
	if err := writePort(o.portFile, listener); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := s.Serve(listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve TensorBoard: %w", err)
	}
	return nil
}

// writePort writes the port to the file, atomically: TensorBoard reads the file as soon as it
// exists.
func writePort(path string, listener net.Listener) error {
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temporary, []byte(port+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the port file: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write the port file: %w", err)
	}
	return nil
}

// source is the server and the scope in a logdir.
type source struct {
	address    string
	secure     bool
	experiment string // VIEWER~path~below, or empty for all Viewers
}

// parseLogdir parses runicorn://HOST:PORT[/VIEWER[/path]].
func parseLogdir(logdir string) (*source, error) {
	const form = "--logdir must be runicorn://HOST:PORT[/VIEWER[/path]], or runicorn+tls:// for TLS"
	u, err := url.Parse(logdir)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != scheme && u.Scheme != schemeTLS) {
		return nil, errors.New(form)
	}
	s := &source{address: u.Host, secure: u.Scheme == schemeTLS}
	s.experiment = strings.ReplaceAll(strings.Trim(u.Path, "/"), "/", "~")
	return s, nil
}

// connect creates a client of the server. The token and the trusted certificates are read
// from the environment, because other users of the machine can read the command line.
func (s *source) connect(getenv func(string) string) (*client.Client, error) {
	options := []client.Option{client.WithToken(getenv("RUNICORN_GRPC_TOKEN"))}
	if path := getenv("RUNICORN_GRPC_TLS_CA"); path != "" {
		trusted, err := client.TrustFile(path)
		if err != nil {
			return nil, fmt.Errorf("$RUNICORN_GRPC_TLS_CA: %w", err)
		}
		options = append(options, client.WithTLS(trusted))
	} else if s.secure {
		options = append(options, client.WithTLS(nil))
	}
	c, err := client.New(s.address, options...)
	if err != nil {
		return nil, fmt.Errorf("--logdir: %w", err)
	}
	return c, nil
}
