package main

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

func TestDisabledCallsNameTheirFlagOverGRPCAndHTTP(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		args          []string
		remote, purge bool // whether they are on
	}{
		{"on loopback both are on", nil, true, true},
		{"on loopback without remote", []string{"--disable-remote"}, false, true},
		{"beyond loopback both are off", []string{"--grpc-addr=0.0.0.0:0", "--insecure-listen"}, false, false},
		{
			"beyond loopback, enabled",
			[]string{"--grpc-addr=0.0.0.0:0", "--insecure-listen", "--enable-remote", "--enable-purge"},
			true, true,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, append(tc.args, "--viewer="+newViewer(t, demotest.Gen06).URL)...)
			conn := p.dial(t)
			_, remote := runicornapiv1.NewRemoteServiceClient(conn).ListConnections(t.Context(), &runicornapiv1.ListConnectionsRequest{})
			_, purge := runicornapiv1.NewExperimentServiceClient(conn).PurgeExperiments(t.Context(),
				&runicornapiv1.PurgeExperimentsRequest{RunIds: []string{"none"}, ValidateOnly: true})
			for what, call := range map[string]struct {
				err error
				on  bool
			}{"remote": {remote, tc.remote}, "purge": {purge, tc.purge}} {
				code, reason := outcome(call.err)
				if off := code == codes.PermissionDenied && reason == "FEATURE_DISABLED"; off == call.on {
					t.Errorf("%s: %v", what, call.err)
				}
			}
			code, body := p.get(t, plainClient(t), "/v1/remote/connections", "")
			off := code == http.StatusForbidden && strings.Contains(body, "--enable-remote")
			if off == tc.remote {
				t.Errorf("remote over HTTP: %d %s", code, body)
			}
		})
	}
}

func TestRisksOfTheConfigurationCauseWarnings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args string
		want []string // in the warnings, in their order
	}{
		{"", nil},
		{"--grpc-addr=0.0.0.0:0 --insecure-listen", []string{"no tokens", "without TLS"}},
		{"--grpc-addr=0.0.0.0:0 --insecure-listen --auth-token-file=x", []string{"without TLS"}},
		{"--http-addr=0.0.0.0:0 --tls-cert=x --tls-key=x --auth-token-file=x", []string{"--allowed-hosts"}},
		{"--http-addr=0.0.0.0:0 --tls-cert=x --tls-key=x --auth-token-file=x --allowed-hosts=a", nil},
	} {
		cfg, err := parse(strings.Fields(tc.args), noEnv, newOutput())
		if err != nil {
			t.Fatal(err)
		}
		got := cfg.warnings()
		if len(got) != len(tc.want) {
			t.Fatalf("%q: %q", tc.args, got)
		}
		for i, want := range tc.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%q: %q, want %s", tc.args, got[i], want)
			}
		}
	}
}
