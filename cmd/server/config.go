package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cli"
)

// program is the name of the process.
const program = "runicorn-grpc"

// envPrefix is the prefix of the environment variables of flags.
const envPrefix = "RUNICORN_GRPC_"

// defaultViewer is the Viewer if none is configured: the address at which a Viewer
// listens by default.
const defaultViewer = "http://127.0.0.1:23300"

// Config is the configuration. The help tags are the manual that --help prints.
type Config struct {
	Help    cli.HelpFlag `short:"h" help:"Print this manual."`
	Version versionFlag  `help:"Print the version."`
	Config  string       `placeholder:"FILE" help:"YAML file whose keys are the flag names below without their dashes. A flag takes precedence over its variable, and the variable over the file."`

	Viewer          []viewerFlag  `group:"Viewers" sep:" " placeholder:"[NAME=]URL" help:"A Viewer to serve; may be repeated (in the variable, separate by spaces). The first one is used for calls that do not name a Viewer. Default: http://127.0.0.1:23300, unless --demo is given."`
	Demo            bool          `group:"Viewers" help:"Start two built-in Viewers with sample data, 'demo' (0.7) and 'legacy' (0.5.3), after those of --viewer."`
	ViewerCA        []viewerFile  `group:"Viewers" name:"viewer-ca" sep:" " placeholder:"NAME=FILE" help:"PEM file of the certificate authorities for the Viewer NAME; may be repeated. The file is read again when it changes."`
	ViewerAuth      []viewerFile  `group:"Viewers" sep:" " placeholder:"NAME=FILE" help:"A file with the value of the Authorization header for the Viewer NAME, such as 'Bearer TOKEN'; may be repeated. It is read again when it changes, sent to that Viewer only, and never logged."`
	FanOutTimeout   time.Duration `group:"Viewers" default:"2s" help:"How long a call over all Viewers waits for each of them. A Viewer that does not answer is reported as unreachable, and probed in the background."`
	ViewerShare     float64       `group:"Viewers" default:"0.2" help:"Part of a Viewer's time that background work (lists, polls, health) may take, above 0 and at most 1."`
	UpstreamTimeout time.Duration `group:"Viewers" default:"30s" help:"Timeout of lightweight requests to a Viewer."`
	HeavyTimeout    time.Duration `group:"Viewers" default:"2m" help:"Timeout of heavy requests to a Viewer: metric tables, archives."`
	StallTimeout    time.Duration `group:"Viewers" default:"30s" help:"Timeout for the next bytes of a download from a Viewer."`
	HealthInterval  time.Duration `group:"Viewers" default:"15s" help:"Interval of the health checks of each Viewer."`

	GRPCAddr       string   `group:"Listening" name:"grpc-addr" default:"127.0.0.1:23310" help:"Address of gRPC."`
	HTTPAddr       string   `group:"Listening" name:"http-addr" default:"127.0.0.1:23311" help:"Address of REST, its pages and the metrics."`
	TLSCert        string   `group:"Listening" placeholder:"FILE" help:"Certificate chain (PEM) for both ports. Changed files are reloaded without a restart."`
	TLSKey         string   `group:"Listening" placeholder:"FILE" help:"Private key (PEM) of --tls-cert."`
	PprofListen    string   `group:"Listening" placeholder:"ADDR" help:"Serve profiles of Go's runtime at this address, which must be on loopback, because profiles reveal the content of memory. Off by default."`
	AuthTokenFile  string   `group:"Listening" placeholder:"FILE" help:"File of lines 'ROLE TOKEN [name=NAME] [expires=DAY] [viewers=NAME,…]' with role read, write or admin, and comments after #. TOKEN may be sha256:HASH, or cert:CN=NAME for a client certificate. It is read again when it changes. Every call except health checks then needs the header 'authorization: Bearer TOKEN', or such a certificate."`
	TLSClientCA    string   `group:"Listening" name:"tls-client-ca" placeholder:"FILE" help:"PEM file of the certificate authorities for client certificates, whose roles are in --auth-token-file. The file is read again when it changes."`
	TLSClientAuth  string   `group:"Listening" name:"tls-client-auth" enum:"optional,required" default:"optional" help:"Whether a connection needs a client certificate of --tls-client-ca: optional or required."`
	InsecureListen bool     `group:"Listening" help:"Listen beyond loopback even without TLS and tokens: anyone on the network is then admitted."`
	AllowedHosts   []string `group:"Listening" placeholder:"HOST" help:"Host headers that HTTP accepts besides loopback ones, separated by commas."`
	CORSOrigins    []string `group:"Listening" name:"cors-origins" placeholder:"ORIGIN" help:"Web origins, such as https://example.org, whose pages may call this server, separated by commas."`

	MetricsOpen        bool `group:"Authority" help:"Serve /metrics without a token where tokens are used; it names every Viewer."`
	AllowConfigWrites  bool `group:"Authority" help:"Allow UpdateConfig, which changes a Viewer's storage root."`
	EnablePurge        bool `group:"Authority" help:"Allow PurgeExperiments beyond loopback; on loopback it is always allowed."`
	EnableRemote       bool `group:"Authority" help:"Allow RemoteService beyond loopback; on loopback it is allowed unless --disable-remote."`
	DisableFlight      bool `group:"Authority" help:"Disable Arrow Flight, which serves experiments as tables on the gRPC port."`
	DisableTensorBoard bool `name:"disable-tensorboard" group:"Authority" help:"Disable the data provider for TensorBoard, which shows experiments live from the gRPC port."`
	DisableRemote      bool `group:"Authority" help:"Disable RemoteService on loopback too, and with it the Viewers that others have tunneled."`

	RemoteHosts       []string `group:"Authority" placeholder:"HOST" help:"The only SSH servers that RemoteService may use, by their names in requests, separated by commas. Default: any."`
	AllowKeyPaths     bool     `group:"Authority" help:"Allow RemoteService to name private key files on a Viewer's machine."`
	StopRemoteOnDrain bool     `group:"Authority" help:"Stop the remote Viewers that this server has started when it ends, within 5s after its calls."`

	EndGrace             time.Duration `group:"Live streams" default:"5s" help:"How long the log of a finished run must stay unchanged before its tail ends."`
	PollMin              time.Duration `group:"Live streams" default:"200ms" help:"Poll interval per followed run, if the share of its Viewer allows it."`
	PollMax              time.Duration `group:"Live streams" default:"5s" help:"Maximum poll interval of a run that has ended, or whose Viewer fails."`
	TailUnreachableAfter time.Duration `group:"Live streams" default:"10m" help:"How long a Viewer may fail before its tails end with UNAVAILABLE. 0 means never."`
	TailBytes            byteSize      `group:"Live streams" default:"128MiB" help:"Memory for the newest parts of followed logs; clients that fall behind them are served from the Viewer again."`
	StreamBytes          byteSize      `group:"Live streams" default:"256MiB" help:"Memory for histories that are buffered to be merged or downsampled; calls beyond it are refused."`

	DefaultDeadline   time.Duration `group:"Limits" default:"150s" help:"Deadline of a unary call that has none."`
	DrainTimeout      time.Duration `group:"Limits" default:"8s" help:"How long calls in flight may continue after SIGTERM."`
	MaxConnections    int           `group:"Limits" default:"8192" help:"Connections per port; more wait until one closes."`
	MaxConnectionAge  time.Duration `group:"Limits" default:"0s" help:"Age at which gRPC connections are asked to reconnect, for load balancing; streams continue to their end. 0 means never."`
	MaxConnectionIdle time.Duration `group:"Limits" default:"5m" help:"How long a gRPC connection without a call is kept."`
	MaxCalls          int           `group:"Limits" default:"20000" help:"Maximum number of open calls on all gRPC connections; more are refused."`
	MaxStreams        uint32        `group:"Limits" default:"2000" help:"Maximum number of open calls on one gRPC connection; more wait at the client."`
	MaxHTTPStreams    uint32        `group:"Limits" name:"max-http-streams" default:"1000" help:"Maximum number of open streams over HTTP; more are refused. All of HTTP shares one gRPC connection: this must be below --max-streams, and the difference is for unary calls."`
	MaxTokenCalls     int           `group:"Limits" default:"0" help:"Maximum number of open unary calls with one token; more are refused. 0 means as many as --max-streams."`
	MaxTokenStreams   int           `group:"Limits" default:"0" help:"Maximum number of open streams with one token; more are refused. 0 means half of --max-calls."`
	MaxTokenExports   int           `group:"Limits" default:"0" help:"Maximum number of open exports with one token; more are refused. 0 means as many as --max-streams."`
	ClientStall       time.Duration `group:"Limits" name:"client-stall-timeout" default:"2m" help:"How long a client may leave a stream or a response unread; for live streams over gRPC it is 15m."`
	CacheBytes        byteSize      `group:"Limits" default:"256MiB" help:"Memory for parsed runs."`
	StateDir          string        `group:"Limits" default:"auto" placeholder:"DIR" help:"Directory that keeps what was read of runs for filters and orders, for the next start; 'auto' is one in the user's cache directory, and an empty value keeps it in memory only, as --demo does."`
	StateBytes        byteSize      `group:"Limits" default:"256MiB" help:"Memory, and disk space in --state-dir, for what was read of runs for filters and orders."`
	TempBytes         byteSize      `group:"Limits" default:"2GiB" help:"Temporary disk space for the files of exports; exports that need more are refused."`
	HTTPHeaderTimeout time.Duration `group:"Limits" name:"http-header-timeout" default:"10s" help:"Timeout for reading the headers of an HTTP request."`
	HTTPIdleTimeout   time.Duration `group:"Limits" name:"http-idle-timeout" default:"2m" help:"How long an idle HTTP connection is kept."`

	LogLevel  string `group:"Logging" enum:"debug,info,warn,error" default:"info" help:"Minimum level that is logged: debug (every call), info, warn or error."`
	LogFormat string `group:"Logging" enum:"text,json" default:"text" help:"Form of the log on standard error: text or json."`
	AuditLog  string `group:"Logging" placeholder:"FILE" help:"File to which a line of JSON is appended for every call that changes something or needs the role admin, and for every refused call. It may be moved at any time."`
}

// manual is what --help prints before the flags.
const manual = `One gRPC endpoint, and the same API as REST, in front of Runicorn Viewers.

Try it: runicorn-grpc --demo

Read a server from the terminal: runicorn-grpc viewers, ls, show, tail, logs, best, export; each has --help. ` +
	`Protos for the code generators of other languages: runicorn-grpc protos DIR

The server starts whether or not a Viewer is up; calls answer UNAVAILABLE until it is. SIGTERM or SIGINT drains: ` +
	`calls in flight are finished within --drain-timeout, streams are told to resume elsewhere, and the exit code is 0. ` +
	`A second signal ends the process immediately. Invalid configuration is exit code 2, any other failure 1.

Beyond loopback the server refuses to start without --tls-cert, --tls-key and --auth-token-file, unless ` +
	`--insecure-listen is given; RemoteService and PurgeExperiments are then off unless enabled.

OpenTelemetry tracing is on when OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and obeys ` +
	`the other standard OTEL_ variables.`

// badFlag returns the error for the value of a flag.
func badFlag(flag, format string, args ...any) error {
	return &cli.UsageError{Err: fmt.Errorf("--"+flag+": "+format, args...)}
}

// parse reads the configuration from flags, environment variables and the file, in this
// order of precedence. The errors are cli.ErrHelpPrinted or a *cli.UsageError.
func parse(args []string, getenv func(string) string, stdout io.Writer) (*Config, error) {
	cfg := &Config{}
	from := &settings{getenv: getenv}
	parser, err := kong.New(cfg,
		kong.Name(program),
		kong.Description(manual),
		kong.Writers(stdout, stdout),
		kong.NoDefaultHelp(),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
		kong.ValueFormatter(withVariable),
		kong.Resolvers(from),
		kong.Bind(from),
	)
	if err != nil {
		return nil, fmt.Errorf("define the flags: %w", err)
	}
	if _, err := parser.Parse(withTwoDashes(parser, args)); errors.Is(err, cli.ErrHelpPrinted) {
		return nil, cli.ErrHelpPrinted
	} else if err != nil {
		return nil, &cli.UsageError{Err: fmt.Errorf("%w; --help lists the flags", err)}
	}
	return cfg, cfg.check()
}

// withTwoDashes accepts -demo for --demo and help for --help.
func withTwoDashes(parser *kong.Kong, args []string) []string {
	out := slices.Clone(args)
	if len(out) > 0 && (out[0] == "help" || out[0] == "version") {
		out[0] = "--" + out[0]
	}
	for i, arg := range out {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		for _, flag := range parser.Model.Flags {
			if strings.HasPrefix(arg, "-") && len(name) > 1 && name == flag.Name {
				out[i] = "-" + arg
			}
		}
	}
	return out
}

// BeforeResolve reads the configuration file before the other flags are resolved. It is a
// hook of kong: only the values of the command line are set at this time.
func (cfg *Config) BeforeResolve(ctx *kong.Context, from *settings) error {
	for _, flag := range ctx.Flags() {
		if flag.Name == "config" {
			given, _ := ctx.FlagValue(flag).(string)
			return from.open(given)
		}
	}
	return nil
}

// withVariable appends the name of its environment variable to the help of a flag.
func withVariable(value *kong.Value) string {
	switch value.Name {
	case "help", "version":
		return value.Help
	}
	return value.Help + " ($" + variable(value.Name) + ")"
}

// variable returns the name of a flag's environment variable.
func variable(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// versionFlag prints the version.
type versionFlag bool

// BeforeReset runs before any value is checked.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	if _, err := fmt.Fprintln(app.Stdout, program, buildVersion(), goVersion()); err != nil {
		return err
	}
	return cli.ErrHelpPrinted
}
