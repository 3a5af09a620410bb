// Package cli implements the subcommands of runicorn-grpc, which read a server from
// the terminal: lists, metrics, live runs, logs, exports.
//
// A command line is parsed into commands, whose fields are the subcommands. Each has a
// method Run, which calls the server through package client and writes tables or JSON.
// The package must not depend on the flags and listeners of the server.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/runicorn-grpc/runicorn-grpc/client"
)

// commands is the command line. Its tags define flags and help.
type commands struct {
	Help HelpFlag `short:"h" help:"Print this manual."`

	Address   string `short:"a" placeholder:"HOST:PORT" help:"Address of the server. Default: $$RUNICORN_GRPC_ADDRESS, or 127.0.0.1:23310."`
	Token     string `placeholder:"TOKEN" help:"Token for the server. Default: $$RUNICORN_GRPC_TOKEN, which other users of this machine cannot see."`
	TLS       bool   `name:"tls" xor:"tls" help:"Use TLS. It is on for https:// addresses, and if a token would leave this machine."`
	TLSCA     string `name:"tls-ca" type:"existingfile" placeholder:"FILE" help:"Use TLS, and trust the certificates in this PEM file instead of the system's."`
	Plaintext bool   `xor:"tls" help:"Do not use TLS."`
	JSON      bool   `name:"json" help:"Print JSON: one object on each line, with the fields of the API."`

	Viewers viewersCommand `cmd:"" help:"List the Viewers and their health."`
	Ls      lsCommand      `cmd:"" help:"List experiments of all Viewers."`
	Show    showCommand    `cmd:"" help:"Show one experiment and its metrics."`
	Tail    tailCommand    `cmd:"" help:"Follow the points of experiments until they end."`
	Logs    logsCommand    `cmd:"" help:"Print the text log of an experiment."`
	Best    bestCommand    `cmd:"" help:"Find the experiment with the best value of a metric."`
	Export  exportCommand  `cmd:"" help:"Save an experiment as a file."`
	Protos  protosCommand  `cmd:"" help:"Write the proto files, for code generators."`
}

// Has reports whether a subcommand of this name exists.
func Has(name string) bool {
	return slices.Contains([]string{"viewers", "ls", "show", "tail", "logs", "best", "export", "protos"}, name)
}

// UsageError is an error in the command line or in the configuration.
type UsageError struct{ Err error }

// Error returns the message of the cause.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// ErrInterrupted means that the context ended before the command did.
var ErrInterrupted = errors.New("interrupted")

// ErrHelpPrinted ends the parsing after a flag that only prints.
var ErrHelpPrinted = errors.New("help printed")

// app is the state that commands share.
type app struct {
	*commands

	ctx    context.Context //nolint:containedctx // of the one command of this process
	client *client.Client
	out    io.Writer
	errOut io.Writer
	colors bool // whether to write colors to out
}

// Run runs the subcommand in args, and returns when it is done. Errors are for people;
// a *UsageError is a mistake in args.
func Run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	a := &app{commands: &commands{}, ctx: ctx, out: stdout, errOut: stderr}
	a.colors = isTerminal(stdout) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	parser, err := kong.New(a.commands, kong.Name("runicorn-grpc"), kong.Writers(stdout, stdout), kong.NoDefaultHelp(), kong.Bind(a),
		kong.Vars{"run": "The experiment: its run id or a prefix of it, its path or its alias, optionally with VIEWER/ in front."})
	if err != nil {
		return fmt.Errorf("define the commands: %w", err)
	}
	command, err := parser.Parse(args)
	if errors.Is(err, ErrHelpPrinted) {
		return nil
	}
	if err != nil {
		return &UsageError{Err: fmt.Errorf("%w; see runicorn-grpc %s --help", err, args[0])}
	}
	if a.client, err = a.connect(getenv); err != nil {
		return &UsageError{Err: err}
	}
	defer a.client.Close() //nolint:errcheck // no call is open
	err = command.Run()
	switch {
	case errors.Is(err, syscall.EPIPE):
		return nil // the reader has closed the pipe
	case err != nil && ctx.Err() != nil:
		return ErrInterrupted
	}
	return advise(err)
}

func (a *app) connect(getenv func(string) string) (*client.Client, error) {
	options := []client.Option{client.WithOnRetry(a.printRetry), client.WithRetries(maxRetries)}
	options = append(options, client.WithToken(cmp.Or(a.Token, getenv("RUNICORN_GRPC_TOKEN"))))
	if a.Plaintext {
		options = append(options, client.WithPlaintext())
	}
	switch {
	case a.TLSCA != "":
		trusted, err := client.TrustFile(a.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
		options = append(options, client.WithTLS(trusted))
	case a.TLS:
		options = append(options, client.WithTLS(nil))
	}
	return client.New(cmp.Or(a.Address, getenv("RUNICORN_GRPC_ADDRESS")), options...)
}

// maxRetries is the number of retries of a call before its error is returned.
const maxRetries = 3

// printRetry reports a live stream that has failed several times in a row.
func (a *app) printRetry(r client.Retry) {
	if r.Count == maxRetries+1 { // only live streams are retried that often
		a.note("the connection failed; retrying until it works: %v", r.Err)
	}
}

// note prints a message for people, which is not part of the output.
func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.errOut, "runicorn-grpc:", clean(fmt.Sprintf(format, args...)))
}

// advise adds advice to an error.
func advise(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	switch {
	case !ok:
		return err
	case client.IsUnavailable(err) && e.Reason == "":
		return fmt.Errorf("%w Start it with: runicorn-grpc --demo, or set another server with --address", err)
	case client.IsUnauthorized(err) && e.Reason == "TOKEN_INVALID":
		return fmt.Errorf("%w; set one with $RUNICORN_GRPC_TOKEN or --token", err)
	default:
		return err
	}
}

// marshalOptions are the same as in the server's REST API.
var marshalOptions = protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}

// printJSON prints a message on one line.
func (a *app) printJSON(m proto.Message) error {
	text, err := marshalOptions.Marshal(m)
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(text, '\n'))
	return err
}

// HelpFlag is a flag that prints the manual.
type HelpFlag bool

// BeforeReset runs before kong checks any value: an invalid file or variable must not
// prevent the manual.
func (HelpFlag) BeforeReset(ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	return ErrHelpPrinted
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// word returns an enum's name without its prefix, in lower case.
func word(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}
