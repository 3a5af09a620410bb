package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// file writes a file for a test and returns its name.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadConfigurationIsOneLineThatNamesTheFlagAndCode2(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for _, tc := range []struct {
		name string
		args []string
		want string // in the line
	}{
		{"an unknown flag", []string{"--vewer=http://x"}, "--vewer"},
		{"a stray argument", []string{"serve"}, "serve"},
		{"a viewer without a URL", []string{"--viewer=a="}, "--viewer"},
		{"a viewer that is no URL", []string{"--viewer=here"}, "--viewer"},
		{"a viewer whose name has a slash", []string{"--viewer=a/b=http://x"}, `name "a/b"`},
		{"a viewer with a password", []string{"--viewer=http://me:canary@x"}, "--viewer"},
		{"two viewers of one name", []string{"--viewer=a=http://x", "--viewer=a=http://y"}, "--viewer"},
		{"a viewer with the name of a demo's", []string{"--demo", "--viewer=demo=http://x"}, "--viewer"},
		{"no share", []string{"--viewer-share=0"}, "--viewer-share"},
		{"a share that is no number", []string{"--viewer-share=NaN"}, "--viewer-share"},
		{"a timeout of nothing", []string{"--upstream-timeout=0s"}, "--upstream-timeout"},
		{"a timeout without a unit", []string{"--heavy-timeout=5"}, "--heavy-timeout"},
		{"a negative age", []string{"--max-connection-age=-1s"}, "--max-connection-age"},
		{"no streams", []string{"--max-streams=0"}, "--max-streams"},
		{"more streams over HTTP than at all", []string{"--max-streams=10"}, "--max-http-streams"},
		{"a size that is none", []string{"--cache-bytes=lots"}, "--cache-bytes"},
		{"a negative size", []string{"--cache-bytes=-1"}, "--cache-bytes"},
		{"an address without a port", []string{"--grpc-addr=127.0.0.1"}, "--grpc-addr"},
		{"profiles for the network", []string{"--pprof-listen=0.0.0.0:6060"}, "--pprof-listen"},
		{"profiles at an address without a host", []string{"--pprof-listen=:6060"}, "--pprof-listen"},
		{"two ports in one", []string{"--http-addr=127.0.0.1:23310"}, "--http-addr"},
		{"all addresses, unprotected", []string{"--grpc-addr=0.0.0.0:0"}, "--grpc-addr"},
		{"no host, which is all addresses", []string{"--http-addr=:0"}, "--http-addr"},
		{"a name that may be anything", []string{"--grpc-addr=example.org:0"}, "--grpc-addr"},
		{"beyond loopback with a token only", []string{"--grpc-addr=[::]:0", "--auth-token-file=x"}, "--insecure-listen"},
		{"a certificate without a key", []string{"--tls-cert=x"}, "--tls-key"},
		{"a key without a certificate", []string{"--tls-key=x"}, "--tls-cert"},
		{"a certificate that is not there", []string{"--tls-cert", missing, "--tls-key", missing}, "--tls-cert"},
		{"a token file that is not there", []string{"--auth-token-file", missing}, "--auth-token-file"},
		{"remote on and off", []string{"--enable-remote", "--disable-remote"}, "--disable-remote"},
		{"a host that is a URL", []string{"--allowed-hosts=https://x"}, "--allowed-hosts"},
		{"any host", []string{"--allowed-hosts=*"}, "--allowed-hosts"},
		{"a host with two ports", []string{"--allowed-hosts=x:1:2"}, "--allowed-hosts"},
		{"a host with a port that is none", []string{"--allowed-hosts=x:http"}, "--allowed-hosts"},
		{"any origin", []string{"--cors-origins=*"}, "--cors-origins"},
		{"the origins of a wildcard", []string{"--cors-origins=https://*.example.org"}, "--cors-origins"},
		{"the origin of a file", []string{"--cors-origins=file://x"}, "--cors-origins"},
		{"an origin with a port that is none", []string{"--cors-origins=http://x:123456"}, "--cors-origins"},
		{"an origin with a path", []string{"--cors-origins=https://x/y"}, "--cors-origins"},
		{"an unknown level", []string{"--log-level=loud"}, "--log-level"},
		{"a file that is not there", []string{"--config", missing}, "--config"},
		{"a file with an unknown key", []string{"--config", file(t, "a.yaml", "grcp-addr: 127.0.0.1:1\n")}, `"grcp-addr"`},
		{"a file that is no mapping", []string{"--config", file(t, "b.yaml", "- a\n")}, "--config"},
		{"a file with nested values", []string{"--config", file(t, "c.yaml", "viewer: {a: b}\n")}, `"viewer"`},
		{"a file with an empty value", []string{"--config", file(t, "d.yaml", "viewer:\n")}, `"viewer"`},
		{"a file with a wrong value", []string{"--config", file(t, "e.yaml", "drain-timeout: soon\n")}, "--drain-timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tc.args, noEnv, &stdout, &stderr)
			line, rest, _ := strings.Cut(stderr.String(), "\n")
			if code != exitUsage || rest != "" || !strings.Contains(line, tc.want) || !strings.HasPrefix(line, program+": ") {
				t.Errorf("code %d, want 2 and one line with %s:\n%s", code, tc.want, stderr.String())
			}
			if strings.Contains(line, "canary") {
				t.Errorf("the line shows a secret: %s", line)
			}
			if stdout.Len() != 0 {
				t.Errorf("unexpected output:\n%s", stdout.String())
			}
		})
	}
}

func TestAPortInUseNamesItsFlagAndIsNotAConfigurationError(t *testing.T) {
	t.Parallel()
	p := start(t)
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"--grpc-addr=127.0.0.1:0", "--http-addr=" + strings.TrimPrefix(p.httpURL, "http://")}, noEnv, io.Discard, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "--http-addr: ") {
		t.Errorf("code %d, want 1:\n%s", code, stderr.String())
	}
}

func TestPrecedenceIsFlagThenVariableThenFileThenDefault(t *testing.T) {
	t.Parallel()
	path := file(t, "config.yaml", `
# taken as it is written, whatever YAML would make of it
upstream-timeout: 1s
heavy-timeout: 1s
stall-timeout: 1s
viewer: ["a=http://x/?q=1,2", http://y/z=1]
max-streams: 3000
demo: yes
cache-bytes: 1.5GiB
`)
	env := map[string]string{
		"RUNICORN_GRPC_CONFIG":           path,
		"RUNICORN_GRPC_UPSTREAM_TIMEOUT": "2s",
		"RUNICORN_GRPC_HEAVY_TIMEOUT":    "2s",
		"RUNICORN_GRPC_ALLOWED_HOSTS":    "a.example,b.example:8080",
		"RUNICORN_GRPC_LOG_LEVEL":        "", // as if it were not set
	}
	cfg, err := parse([]string{"--upstream-timeout=3s"}, func(name string) string { return env[name] }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	type values struct {
		Upstream, Heavy, Stall, Drain time.Duration
		Streams                       uint32
		Demo                          bool
		Cache                         byteSize
		Hosts                         []string
		Level                         string
		Viewers                       []viewerFlag
	}
	got := values{
		cfg.UpstreamTimeout, cfg.HeavyTimeout, cfg.StallTimeout, cfg.DrainTimeout,
		cfg.MaxStreams, cfg.Demo, cfg.CacheBytes, cfg.AllowedHosts, cfg.LogLevel, cfg.Viewer,
	}
	want := values{
		3 * time.Second, 2 * time.Second, time.Second, 8 * time.Second,
		3000, true, 3 << 29,
		[]string{"a.example", "b.example:8080"},
		"info",
		[]viewerFlag{{"a", "http://x/?q=1,2"}, {"", "http://y/z=1"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneVariableHoldsSeveralViewers(t *testing.T) {
	t.Parallel()
	env := func(name string) string {
		return map[string]string{"RUNICORN_GRPC_VIEWER": "a=http://x b=http://y"}[name]
	}
	cfg, err := parse(nil, env, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]viewerFlag{{"a", "http://x"}, {"b", "http://y"}}, cfg.Viewer); diff != "" {
		t.Error(diff)
	}
}

func TestViewersAreServedInTheOrderOfTheFlags(t *testing.T) {
	t.Parallel()
	given := []viewerFlag{{"lab", "http://x"}}
	demo := []fleet.Entry{{Name: "demo", URL: "http://d"}}
	for _, tc := range []struct {
		name  string
		given []viewerFlag
		demo  []fleet.Entry
		want  []fleet.Entry
	}{
		{"without any, the one at the default address", nil, nil, []fleet.Entry{{URL: defaultViewer}}},
		{"with the demo, only the demo's", nil, demo, demo},
		{"given ones stand before the demo's", given, demo, []fleet.Entry{{Name: "lab", URL: "http://x"}, demo[0]}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := &Config{Viewer: tc.given}
			if diff := cmp.Diff(tc.want, cfg.viewers(tc.demo)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBeyondLoopbackRemoteAndPurgeAreOffUnlessEnabled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args              string
		remoteOff, purges bool
	}{
		{"", false, true},
		{"--grpc-addr=localhost:1 --http-addr=[::1]:2", false, true},
		{"--disable-remote", true, true},
		{"--grpc-addr=0.0.0.0:1 --insecure-listen", true, false},
		{"--http-addr=10.0.0.1:1 --insecure-listen --enable-remote", false, false},
		{"--http-addr=10.0.0.1:1 --insecure-listen --enable-purge", true, true},
	} {
		cfg, err := parse(strings.Fields(tc.args), noEnv, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.remoteDisabled() != tc.remoteOff || cfg.purgeDisabled() == tc.purges {
			t.Errorf("%q: remote off %v, purge off %v", tc.args, cfg.remoteDisabled(), cfg.purgeDisabled())
		}
	}
}

func TestHelpIsTheManual(t *testing.T) {
	t.Setenv("COLUMNS", "110") // kong reads the width from it
	var stdout, stderr bytes.Buffer
	// The manual is printed even if the configuration is invalid.
	args := []string{"--help", "--config=missing"}
	if code := run(t.Context(), args, noEnv, &stdout, &stderr); code != exitOK || stderr.Len() != 0 {
		t.Fatalf("code %d:\n%s", code, stderr.String())
	}
	golden := filepath.Join("testdata", "help.txt")
	if *update {
		if err := os.WriteFile(golden, stdout.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), stdout.String()); diff != "" {
		t.Error(diff)
	}
}

func TestVersionNamesTheProgramAndGo(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	if code := run(t.Context(), []string{"--version"}, noEnv, &stdout, io.Discard); code != exitOK {
		t.Fatalf("code %d", code)
	}
	if fields := strings.Fields(stdout.String()); len(fields) != 3 || fields[0] != program || !strings.HasPrefix(fields[2], "go1") {
		t.Errorf("got %q", stdout.String())
	}
}

func TestTenThousandTailsFitUnderOneTokenAtTheDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := parse(nil, noEnv, newOutput())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.tokenLimits(), (interceptor.TokenLimits{Calls: 2000, Streams: 10_000, Exports: 2000}); got != want || got.Calls != int64(cfg.MaxStreams) {
		t.Errorf("%+v", got)
	}
}
