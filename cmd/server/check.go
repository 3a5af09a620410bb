package main

import (
	"cmp"
	"net"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/httpapi"
	"github.com/runicorn-grpc/runicorn-grpc/internal/netaddr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// check refuses invalid combinations of flags. The errors name a flag.
func (cfg *Config) check() error {
	return cmp.Or(
		cfg.checkNumbers(),
		cfg.checkAddresses(),
		cfg.checkViewerFiles(),
		cfg.checkAuthority(),
		cfg.checkWeb(),
	)
}

// checkNumbers checks the ranges of numbers and durations.
func (cfg *Config) checkNumbers() error {
	if !(cfg.ViewerShare > 0 && cfg.ViewerShare <= 1) {
		return badFlag("viewer-share", "%v is not above 0 and at most 1", cfg.ViewerShare)
	}
	if err := cmp.Or(
		positive("fan-out-timeout", cfg.FanOutTimeout),
		positive("upstream-timeout", cfg.UpstreamTimeout),
		positive("heavy-timeout", cfg.HeavyTimeout),
		positive("stall-timeout", cfg.StallTimeout),
		positive("health-interval", cfg.HealthInterval),
		positive("end-grace", cfg.EndGrace),
		positive("poll-min", cfg.PollMin),
		positive("default-deadline", cfg.DefaultDeadline),
		positive("drain-timeout", cfg.DrainTimeout),
		positive("max-connection-idle", cfg.MaxConnectionIdle),
		positive("client-stall-timeout", cfg.ClientStall),
		positive("http-header-timeout", cfg.HTTPHeaderTimeout),
		positive("http-idle-timeout", cfg.HTTPIdleTimeout),
		positive("max-connections", cfg.MaxConnections),
		positive("max-calls", cfg.MaxCalls),
		positive("max-streams", cfg.MaxStreams),
		positive("max-http-streams", cfg.MaxHTTPStreams),
		positive("cache-bytes", cfg.CacheBytes),
		positive("state-bytes", cfg.StateBytes),
		positive("temp-bytes", cfg.TempBytes),
		positive("tail-bytes", cfg.TailBytes),
		positive("stream-bytes", cfg.StreamBytes),
		notNegative("max-token-calls", cfg.MaxTokenCalls),
		notNegative("max-token-streams", cfg.MaxTokenStreams),
		notNegative("max-token-exports", cfg.MaxTokenExports),
		notNegative("max-connection-age", cfg.MaxConnectionAge),
		notNegative("tail-unreachable-after", cfg.TailUnreachableAfter),
	); err != nil {
		return err
	}
	if cfg.PollMax < cfg.PollMin {
		return badFlag("poll-max", "%v is below the %v of --poll-min", cfg.PollMax, cfg.PollMin)
	}
	if cfg.MaxHTTPStreams >= cfg.MaxStreams {
		return badFlag("max-http-streams", "%d is not below the %d of --max-streams", cfg.MaxHTTPStreams, cfg.MaxStreams)
	}
	return nil
}

// number is what flags with ranges have: counts, sizes and durations.
type number interface{ ~int | ~int64 | ~uint32 }

// positive refuses a value that is not above zero.
func positive[N number](flag string, value N) error {
	if value > 0 {
		return nil
	}
	return badFlag(flag, "%v is not above zero", value)
}

// notNegative refuses a value below zero.
func notNegative[N number](flag string, value N) error {
	if value >= 0 {
		return nil
	}
	return badFlag(flag, "%v is below zero", value)
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

// entryNames returns the names of the Viewers of entries.
func entryNames(entries []fleet.Entry) (names []string) {
	for i, e := range entries {
		names = append(names, fleet.EntryName(i, e))
	}
	return names
}

// tokenLimits returns the maximum number of open calls of one token.
func (cfg *Config) tokenLimits() interceptor.TokenLimits {
	return interceptor.TokenLimits{
		Calls:   int64(cmp.Or(cfg.MaxTokenCalls, int(cfg.MaxStreams))),
		Streams: int64(cmp.Or(cfg.MaxTokenStreams, max(cfg.MaxCalls/2, 1))),
		Exports: int64(cmp.Or(cfg.MaxTokenExports, int(cfg.MaxStreams))),
	}
}

// checkAddresses refuses invalid addresses, and addresses beyond loopback without
// protection.
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

// checkWeb refuses invalid hosts and origins.
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

// address is a listening address and its flag.
type address struct{ flag, value string }

func (cfg *Config) addresses() []address {
	return []address{{"grpc-addr", cfg.GRPCAddr}, {"http-addr", cfg.HTTPAddr}}
}

// nonLoopback reports whether other machines can reach a port, and returns the first flag
// that causes it.
func (cfg *Config) nonLoopback() (flag string, exposed bool) {
	i := slices.IndexFunc(cfg.addresses(), func(a address) bool { return !isLoopback(a.value) })
	if i < 0 {
		return "", false
	}
	return cfg.addresses()[i].flag, true
}

// isLoopback reports whether an address is certainly on loopback.
func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	return err == nil && netaddr.IsLoopback(host)
}

// remoteDisabled and purgeDisabled: beyond loopback, only what was enabled is permitted.
func (cfg *Config) remoteDisabled() bool {
	_, exposed := cfg.nonLoopback()
	return cfg.DisableRemote || (exposed && !cfg.EnableRemote)
}

func (cfg *Config) purgeDisabled() bool {
	_, exposed := cfg.nonLoopback()
	return exposed && !cfg.EnablePurge
}

// warnings lists the risks of the configuration.
func (cfg *Config) warnings() (out []string) {
	_, exposed := cfg.nonLoopback()
	if exposed && cfg.AuthTokenFile == "" {
		out = append(out, "no tokens are required, so anyone on the network has full access")
	}
	if exposed && cfg.TLSCert == "" {
		out = append(out, "without TLS anyone on the network path can read and change what is sent, including tokens")
	}
	if !isLoopback(cfg.HTTPAddr) && len(cfg.AllowedHosts) == 0 {
		out = append(out, "HTTP answers to loopback names only, because --allowed-hosts names no other")
	}
	return out
}

// viewers returns the Viewers in order: the configured ones, then those of the demo.
// Without both, it is the Viewer at the default address.
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

// fileOf returns the file for a Viewer, empty if there is none.
func fileOf(files []viewerFile, viewer string) string {
	for _, f := range files {
		if f.name == viewer {
			return f.file
		}
	}
	return ""
}
