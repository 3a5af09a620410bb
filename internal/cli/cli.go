// Package cli is the subcommands of runicorn-grpc, with which people read a server
// from the terminal: lists, metrics, live runs, logs, exports.
//
// A command line becomes one value of commands, whose fields are the subcommands;
// each has a method Run, which calls the server through package client and writes
// tables or JSON. It must not know flags and listeners of the server.
package cli

import (
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

// commands is the command line. The tags are its manual.
type commands struct {
	Help helpFlag `short:"h" help:"Print this manual."`

	Address   string `short:"a" placeholder:"HOST:PORT" help:"The server. Default: $$RUNICORN_GRPC_ADDRESS, or 127.0.0.1:23310."`
	Token     string `placeholder:"TOKEN" help:"Its token. Default: $$RUNICORN_GRPC_TOKEN, which other users of this machine cannot see."`
	TLS       bool   `name:"tls" xor:"tls" help:"Use TLS. It is on for https:// addresses, and where a token leaves this machine."`
	TLSCA     string `name:"tls-ca" type:"existingfile" placeholder:"FILE" help:"Use TLS, and trust these certificates (PEM) instead of the system's."`
	Plaintext bool   `xor:"tls" help:"Use no TLS."`
	JSON      bool   `name:"json" help:"Print JSON: one object on each line, with the fields of the API."`

	Viewers viewersCommand `cmd:"" help:"List the Viewers and how they are."`
	Ls      lsCommand      `cmd:"" help:"List experiments of all Viewers."`
	Show    showCommand    `cmd:"" help:"Show one experiment and its metrics."`
	Tail    tailCommand    `cmd:"" help:"Follow the points of experiments until they end."`
	Logs    logsCommand    `cmd:"" help:"Print what an experiment logged as text."`
	Best    bestCommand    `cmd:"" help:"Find the experiment with the best value of a metric."`
	Export  exportCommand  `cmd:"" help:"Save an experiment as a file."`
	Protos  protosCommand  `cmd:"" help:"Write the protos for the code generators of other languages."`
}

// Has says whether there is a subcommand of this name.
func Has(name string) bool {
	return slices.Contains([]string{"viewers", "ls", "show", "tail", "logs", "best", "export", "protos"}, name)
}

// UsageError is an error in the command line.
type UsageError struct{ error }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.error }

// ErrInterrupted says that the context ended before the command did.
var ErrInterrupted = errors.New("interrupted")

var errHelpPrinted = errors.New("answered")

// app is what commands work with.
type app struct {
	*commands

	ctx    context.Context //nolint:containedctx // that of the one command of this process
	client *client.Client
	out    io.Writer
	errOut io.Writer
	colors bool // whether out shows colors
}

// Run runs the subcommand that args name, and returns when it is done. The errors
// are sentences for people; a *UsageError is one in args.
func Run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	a := &app{commands: &commands{}, ctx: ctx, out: stdout, errOut: stderr}
	a.colors = isTerminal(stdout) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	parser, err := kong.New(a.commands, kong.Name("runicorn-grpc"), kong.Writers(stdout, stdout), kong.NoDefaultHelp(), kong.Bind(a),
		kong.Vars{"run": "The experiment: its run id or the beginning of it, its path or its alias, with VIEWER/ before it or without."})
	if err != nil {
		return fmt.Errorf("define the commands: %w", err)
	}
	command, err := parser.Parse(args)
	if errors.Is(err, errHelpPrinted) {
		return nil
	}
	if err != nil {
		return &UsageError{fmt.Errorf("%w; runicorn-grpc %s --help says what there is", err, args[0])}
	}
	if a.client, err = a.connect(getenv); err != nil {
		return &UsageError{err}
	}
	defer a.client.Close() //nolint:errcheck // all answers are there
	err = command.Run()
	switch {
	case errors.Is(err, syscall.EPIPE):
		return nil // whoever reads has enough
	case err != nil && ctx.Err() != nil:
		return ErrInterrupted
	}
	return advise(err)
}

func (a *app) connect(getenv func(string) string) (*client.Client, error) {
	options := []client.Option{client.WithOnRetry(a.sayRetry), client.WithRetries(lastOfCalls)}
	address, token := a.Address, a.Token
	if address == "" {
		address = getenv("RUNICORN_GRPC_ADDRESS")
	}
	if token == "" {
		token = getenv("RUNICORN_GRPC_TOKEN")
	}
	options = append(options, client.WithToken(token))
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
	return client.New(address, options...)
}

// lastOfCalls is how often calls are tried again before their error is told.
const lastOfCalls = 3

// sayRetry tells of a break that is not over at once.
func (a *app) sayRetry(r client.Retry) {
	if r.Count == lastOfCalls+1 { // so it is a live stream, which continues
		a.note("the connection broke and is tried again until it holds: %v", r.Err)
	}
}

// note says something beside the answer.
func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.errOut, "runicorn-grpc:", clean(fmt.Sprintf(format, args...)))
}

// advise adds to an error what to do next.
func advise(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	switch {
	case !ok:
		return err
	case client.IsUnavailable(err) && e.Reason == "":
		return fmt.Errorf("%w Start it with: runicorn-grpc --demo, or name another server by --address", err)
	case client.IsUnauthorized(err) && e.Reason == "TOKEN_INVALID":
		return fmt.Errorf("%w; give one by $RUNICORN_GRPC_TOKEN or --token", err)
	default:
		return err
	}
}

// marshalOptions are those of the server's own JSON.
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

// helpFlag prints the manual.
type helpFlag bool

// BeforeReset runs before any value is checked.
func (helpFlag) BeforeReset(ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	return errHelpPrinted
}

// isTerminal says whether people read what is written.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// word is an enum's name without its prefix, in lower case.
func word(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}
