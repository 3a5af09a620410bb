package main

import (
	"cmp"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/httpapi"
	"github.com/runicorn-grpc/runicorn-grpc/internal/netaddr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// check refuses what the flags cannot mean together. The errors name a flag.
func (cfg *Config) check() error {
	return cmp.Or(
		cfg.checkNumbers(),
		cfg.checkAddresses(),
		cfg.checkViewerFiles(),
		cfg.checkAuthority(),
		cfg.checkWeb(),
	)
}

// checkNumbers holds the bounds of numbers and durations.
func (cfg *Config) checkNumbers() error {
	if !(cfg.ViewerShare > 0 && cfg.ViewerShare <= 1) {
		return badFlag("viewer-share", "%v is not above 0 and at most 1", cfg.ViewerShare)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"fan-out-timeout", cfg.FanOutTimeout},
		{"upstream-timeout", cfg.UpstreamTimeout},
		{"heavy-timeout", cfg.HeavyTimeout},
		{"stall-timeout", cfg.StallTimeout},
		{"health-interval", cfg.HealthInterval},
		{"end-grace", cfg.EndGrace},
		{"poll-min", cfg.PollMin},
		{"default-deadline", cfg.DefaultDeadline},
		{"drain-timeout", cfg.DrainTimeout},
		{"max-connection-idle", cfg.MaxConnectionIdle},
		{"client-stall-timeout", cfg.ClientStall},
		{"http-header-timeout", cfg.HTTPHeaderTimeout},
		{"http-idle-timeout", cfg.HTTPIdleTimeout},
	} {
		if d.value <= 0 {
			return badFlag(d.flag, "%v is not above zero", d.value)
		}
	}
	for _, n := range []struct {
		flag  string
		value int64
	}{
		{"max-connections", int64(cfg.MaxConnections)},
		{"max-calls", int64(cfg.MaxCalls)},
		{"max-streams", int64(cfg.MaxStreams)},
		{"max-http-streams", int64(cfg.MaxHTTPStreams)},
		{"cache-bytes", int64(cfg.CacheBytes)},
		{"state-bytes", int64(cfg.StateBytes)},
		{"temp-bytes", int64(cfg.TempBytes)},
		{"tail-bytes", int64(cfg.TailBytes)},
		{"stream-bytes", int64(cfg.StreamBytes)},
	} {
		if n.value <= 0 {
			return badFlag(n.flag, "%d is not above zero", n.value)
		}
	}
	for _, n := range []struct {
		flag  string
		value int
	}{
		{"max-token-calls", cfg.MaxTokenCalls},
		{"max-token-streams", cfg.MaxTokenStreams},
		{"max-token-exports", cfg.MaxTokenExports},
	} {
		if n.value < 0 {
			return badFlag(n.flag, "%d is below zero", n.value)
		}
	}
	if cfg.MaxConnectionAge < 0 {
		return badFlag("max-connection-age", "%v is below zero", cfg.MaxConnectionAge)
	}
	if cfg.TailUnreachableAfter < 0 {
		return badFlag("tail-unreachable-after", "%v is below zero", cfg.TailUnreachableAfter)
	}
	if cfg.PollMax < cfg.PollMin {
		return badFlag("poll-max", "%v is below the %v of --poll-min", cfg.PollMax, cfg.PollMin)
	}
	if cfg.MaxHTTPStreams >= cfg.MaxStreams {
		return badFlag("max-http-streams", "%d is not below the %d of --max-streams", cfg.MaxHTTPStreams, cfg.MaxStreams)
	}
	return nil
}

// checkViewerFiles refuses files for Viewers that are not configured.
func (cfg *Config) checkViewerFiles() error {
	names := entryNames(cfg.viewers(nil))
	for flag, files := range map[string][]viewerFile{"viewer-ca": cfg.ViewerCA, "viewer-auth": cfg.ViewerAuth} {
		for _, f := range files {
			if !slices.Contains(names, f.name) {
				return badFlag(flag, "no --viewer is called %q", f.name)
			}
		}
	}
	return nil
}

// entryNames are what the Viewers of entries are called.
func entryNames(entries []fleet.Entry) (names []string) {
	for i, e := range entries {
		names = append(names, fleet.EntryName(i, e))
	}
	return names
}

// tokenLimits is how many calls of one token may be open at once.
func (cfg *Config) tokenLimits() interceptor.TokenLimits {
	return interceptor.TokenLimits{
		Calls:   int64(cmp.Or(cfg.MaxTokenCalls, int(cfg.MaxStreams))),
		Streams: int64(cmp.Or(cfg.MaxTokenStreams, max(cfg.MaxCalls/2, 1))),
		Exports: int64(cmp.Or(cfg.MaxTokenExports, int(cfg.MaxStreams))),
	}
}

// checkAddresses refuses addresses that cannot be listened at, and those
// beyond loopback without protection.
func (cfg *Config) checkAddresses() error {
	for _, a := range cfg.addresses() {
		if _, port, err := net.SplitHostPort(a.value); err != nil || port == "" {
			return badFlag(a.flag, "%q is not HOST:PORT", a.value)
		}
	}
	if cfg.GRPCAddr == cfg.HTTPAddr && !strings.HasSuffix(cfg.GRPCAddr, ":0") {
		return badFlag("http-addr", "%s is the address of --grpc-addr too", cfg.HTTPAddr)
	}
	if cfg.PprofListen != "" && !isLoopback(cfg.PprofListen) {
		return badFlag("pprof-listen", "%q is not HOST:PORT on loopback", cfg.PprofListen)
	}
	switch {
	case cfg.TLSCert != "" && cfg.TLSKey == "":
		return badFlag("tls-key", "is missing, but --tls-cert is given")
	case cfg.TLSKey != "" && cfg.TLSCert == "":
		return badFlag("tls-cert", "is missing, but --tls-key is given")
	case cfg.TLSClientCA != "" && cfg.TLSCert == "":
		return badFlag("tls-client-ca", "needs --tls-cert and --tls-key")
	case cfg.TLSClientCA != "" && cfg.AuthTokenFile == "":
		return badFlag("tls-client-ca", "needs --auth-token-file, whose lines say what the holder of a certificate may do")
	case cfg.TLSClientCA == "" && cfg.TLSClientAuth == "required":
		return badFlag("tls-client-auth", "needs --tls-client-ca")
	}
	protected := cfg.TLSCert != "" && cfg.AuthTokenFile != ""
	if flag, exposed := cfg.nonLoopback(); exposed && !protected && !cfg.InsecureListen {
		return badFlag(flag, "is beyond loopback, which needs --tls-cert, --tls-key and --auth-token-file, "+
			"or --insecure-listen to let anyone on the network in")
	}
	return nil
}

// checkAuthority refuses contradictions.
func (cfg *Config) checkAuthority() error {
	if cfg.EnableRemote && cfg.DisableRemote {
		return badFlag("disable-remote", "contradicts --enable-remote")
	}
	return nil
}

// checkWeb refuses hosts and origins that no browser would ever send.
func (cfg *Config) checkWeb() error {
	for _, host := range cfg.AllowedHosts {
		if err := httpapi.CheckAllowedHost(host); err != nil {
			return badFlag("allowed-hosts", "%w", err)
		}
	}
	for _, origin := range cfg.CORSOrigins {
		if err := httpapi.CheckCORSOrigin(origin); err != nil {
			return badFlag("cors-origins", "%w", err)
		}
	}
	return nil
}

// address is where one port listens, and the flag that says so.
type address struct{ flag, value string }

func (cfg *Config) addresses() []address {
	return []address{{"grpc-addr", cfg.GRPCAddr}, {"http-addr", cfg.HTTPAddr}}
}

// nonLoopback reports whether anything but this machine can reach a port,
// and the first flag to blame for it.
func (cfg *Config) nonLoopback() (flag string, exposed bool) {
	i := slices.IndexFunc(cfg.addresses(), func(a address) bool { return !isLoopback(a.value) })
	if i < 0 {
		return "", false
	}
	return cfg.addresses()[i].flag, true
}

// isLoopback reports whether an address is on loopback for sure.
func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	return err == nil && netaddr.IsLoopback(host)
}

// remoteDisabled and purgeDisabled say what is turned off: beyond loopback everything
// that has not been enabled.
func (cfg *Config) remoteDisabled() bool {
	_, exposed := cfg.nonLoopback()
	return cfg.DisableRemote || (exposed && !cfg.EnableRemote)
}

func (cfg *Config) purgeDisabled() bool {
	_, exposed := cfg.nonLoopback()
	return exposed && !cfg.EnablePurge
}

// warnings says what the operator has left open, perhaps unawares.
func (cfg *Config) warnings() (out []string) {
	_, exposed := cfg.nonLoopback()
	if exposed && cfg.AuthTokenFile == "" {
		out = append(out, "no tokens are asked for, so anyone on the network has full access")
	}
	if exposed && cfg.TLSCert == "" {
		out = append(out, "without TLS anyone on the way can read and change what is sent, tokens too")
	}
	if !isLoopback(cfg.HTTPAddr) && len(cfg.AllowedHosts) == 0 {
		out = append(out, "HTTP answers to loopback names only, because --allowed-hosts names no other")
	}
	return out
}

// viewers returns the Viewers in their order: the configured ones, then those
// of the demo, or the one at the default address if there is none.
func (cfg *Config) viewers(demo []fleet.Entry) []fleet.Entry {
	var entries []fleet.Entry
	for _, v := range cfg.Viewer {
		entries = append(entries, fleet.Entry{Name: v.Name, URL: v.URL})
	}
	entries = append(entries, demo...)
	if len(entries) == 0 {
		entries = []fleet.Entry{{URL: defaultViewer}}
	}
	for i := range entries {
		name := fleet.EntryName(i, entries[i])
		entries[i].CAFile, entries[i].AuthFile = fileOf(cfg.ViewerCA, name), fileOf(cfg.ViewerAuth, name)
	}
	return entries
}

// fileOf is the file for a Viewer, empty if there is none.
func fileOf(files []viewerFile, viewer string) string {
	for _, f := range files {
		if f.name == viewer {
			return f.file
		}
	}
	return ""
}
