package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

// issuer issues client certificates.
type issuer struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // in PEM form
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "issuer"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	if i.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *issuer) issue(t *testing.T, name string, validFor time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(validFor), Subject: pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, &key.PublicKey, i.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secureProcess is a server with client certificates, before the Viewers lab and gpu1.
type secureProcess struct {
	*process
	roots  *x509.CertPool
	tokens string
}

func startSecure(t *testing.T, ca *issuer, tokens string, args ...string) *secureProcess {
	t.Helper()
	certFile, keyFile, roots := writePair(t, t.TempDir(), 1)
	s := &secureProcess{roots: roots, tokens: file(t, "tokens", tokens)}
	s.process = start(t, append([]string{
		"--tls-cert=" + certFile, "--tls-key=" + keyFile, "--tls-client-ca=" + ca.file, "--auth-token-file=" + s.tokens,
		"--viewer=gpu1=" + newViewer(t, demotest.Gen07).URL, "--viewer=lab=" + newViewer(t, demotest.Gen07).URL,
	}, args...)...)
	return s
}

// asker speaks to the server with a certificate, or without one.
func (s *secureProcess) asker(t *testing.T, token string, certs ...tls.Certificate) *asker {
	t.Helper()
	config := &tls.Config{RootCAs: s.roots, Certificates: certs, MinVersion: tls.VersionTLS12}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &asker{
		t: t, p: s.process, http: &http.Client{Transport: transport}, token: token, viewer: "lab",
		conn: s.dial(t, grpc.WithTransportCredentials(credentials.NewTLS(config.Clone()))),
	}
}

func TestAClientCertificateHasTheRoleAndTheViewersOfItsLine(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t)
	audited := filepath.Join(t.TempDir(), "audit.log")
	s := startSecure(t, ca, "read cert:CN=ann%20lee name=ann viewers=lab\nadmin "+tokenOfAll+"\n", "--audit-log="+audited)
	ann := ca.issue(t, "ann lee", time.Hour)
	for who, tc := range map[string]struct {
		a    *asker
		want string
	}{
		"a known certificate":              {s.asker(t, "", ann), "lab"},
		"none":                             {s.asker(t, ""), "TOKEN_INVALID"},
		"that of somebody else":            {s.asker(t, "", ca.issue(t, "bob", time.Hour)), "no line for this client certificate"},
		"a token":                          {s.asker(t, tokenOfAll), "gpu1"},
		"a token beside a certificate":     {s.asker(t, tokenOfAll, ann), "gpu1"},
		"a bad token beside a certificate": {s.asker(t, "wrong", ann), "TOKEN_INVALID"},
		"another issuer's":                 {s.asker(t, "", newIssuer(t).issue(t, "ann lee", time.Hour)), ""},
		"an expired one":                   {s.asker(t, "", ca.issue(t, "ann lee", -time.Minute)), ""},
	} {
		for transport, received := range map[string]string{
			"gRPC": tc.a.rpc("ViewerService/ListViewers", `{}`, 1), "HTTP": tc.a.get("GET", "/v1/viewers", ""),
			"HTTP with a body": tc.a.get("POST", "/v1/experiments:findBest", `{"viewer": "gpu1", "metric_name": "loss"}`),
			"/api":             tc.a.get("GET", "/api/runs/viewers/gpu1/experiments/x", ""), "Flight": tc.a.flights(`{"viewer": "gpu1"}`),
			"/readyz": tc.a.get("GET", "/readyz?viewer=gpu1", ""), "/metrics": tc.a.get("GET", "/metrics", ""),
		} {
			var ok bool
			switch {
			case tc.want == "":
				ok = !strings.Contains(received, `"lab"`) && !strings.HasPrefix(received, "200")
			case tc.want == "lab" && (transport == "gRPC" || transport == "HTTP"):
				ok = strings.Contains(received, `"lab"`) && !strings.Contains(received, "gpu1")
			case tc.want == "lab" && transport == "/metrics":
				ok = strings.HasPrefix(received, "403")
			case tc.want == "lab" && transport == "/readyz":
				ok = strings.HasPrefix(received, "404")
			case tc.want == "lab":
				ok = strings.Contains(received, "VIEWER_NOT_FOUND")
			case tc.want == "gpu1":
				ok = !strings.Contains(received, "VIEWER_NOT_FOUND") && !strings.Contains(received, "TOKEN_INVALID") && !strings.HasPrefix(received, "40") || strings.Contains(received, "RUN_NOT_FOUND")
			default:
				ok = strings.Contains(received, tc.want)
			}
			if !ok {
				t.Errorf("%s, %s: %.400s", who, transport, received)
			}
		}
	}
	// A certificate that is only claimed, in the header of the connection in memory.
	claims := s.asker(t, "")
	ctx := metadata.AppendToOutgoingContext(t.Context(), "runicorn-client-cert-bin", string(ann.Certificate[0]))
	if _, err := runicornapiv1.NewViewerServiceClient(claims.conn).ListViewers(ctx, &runicornapiv1.ListViewersRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a claim over gRPC: %v", err)
	}
	encoded := base64.StdEncoding.EncodeToString(ann.Certificate[0])
	for _, header := range []string{"Runicorn-Client-Cert-Bin", "Grpc-Metadata-Runicorn-Client-Cert-Bin"} {
		if received := claims.get("GET", "/v1/viewers", "", header, encoded); !strings.HasPrefix(received, "401") {
			t.Errorf("a claim over HTTP in %s: %.200s", header, received)
		}
	}
	if code, reason := outcome(flightError(t, s.asker(t, "", ann))); code != codes.NotFound {
		t.Errorf("Flight with a certificate: %v %s", code, reason)
	}
	s.asker(t, "", ann).rpc("ViewerService/CheckStatuses", `{"viewer": "VIEWER"}`, 1)
	await(t, func() bool {
		for _, r := range auditLines(t, audited) {
			if r.Name == "ann" && r.Subject == "CN=ann lee" && strings.HasSuffix(r.RPC, "CheckStatuses") && r.Code == "PermissionDenied" {
				return true
			}
		}
		return false
	})
}

// flightError is how a table of a hidden Viewer ends.
func flightError(t *testing.T, a *asker) error {
	t.Helper()
	stream, err := flight.NewFlightServiceClient(a.conn).DoGet(t.Context(), &flight.Ticket{Ticket: []byte(`{"export": {"viewer": "gpu1", "run_id": "x"}}`)})
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

func TestARequiredClientCertificateIsRequired(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t)
	s := startSecure(t, ca, "read cert:CN=ann\nadmin "+tokenOfAll+"\n", "--tls-client-auth=required")
	if received := s.asker(t, tokenOfAll).rpc("ViewerService/ListViewers", `{}`, 1); !strings.HasPrefix(received, "Unavailable") {
		t.Errorf("gRPC without one: %s", received)
	}
	if received := s.asker(t, tokenOfAll).get("GET", "/healthz", ""); strings.HasPrefix(received, "200") {
		t.Errorf("HTTP without one: %s", received)
	}
	ann := s.asker(t, "", ca.issue(t, "ann", time.Hour))
	if received := ann.rpc("ViewerService/ListViewers", `{}`, 1); !strings.Contains(received, "gpu1") {
		t.Errorf("with one: %s", received)
	}
}

func TestStreamsOfACertificateEndWithItsLineAndWithItself(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t)
	s := startSecure(t, ca, "read cert:CN=ann\nread cert:CN=bob\n")
	watch := func(a *asker) grpc.ServerStreamingClient[runicornapiv1.WatchExperimentsResponse] {
		stream, err := runicornapiv1.NewExperimentServiceClient(a.conn).WatchExperiments(t.Context(), &runicornapiv1.WatchExperimentsRequest{Viewer: "lab"})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	ann, bob := watch(s.asker(t, "", ca.issue(t, "ann", time.Hour))), watch(s.asker(t, "", ca.issue(t, "bob", 5*time.Second)))
	if err := os.WriteFile(s.tokens, []byte("read cert:CN=bob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		stream grpc.ServerStreamingClient[runicornapiv1.WatchExperimentsResponse]
		want   string
	}{"ann": {ann, "revoked"}, "bob": {bob, "expired"}} {
		var err error
		for err == nil {
			_, err = tc.stream.Recv()
		}
		if code, reason := outcome(err); code != codes.Unauthenticated || reason != "TOKEN_INVALID" || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARemovedIssuerIsRefusedAtTheNextHandshake(t *testing.T) {
	t.Parallel()
	old := newIssuer(t)
	s := startSecure(t, old, "read cert:CN=ann\n")
	ann := old.issue(t, "ann", time.Hour)
	a := s.asker(t, "", ann)
	if received := a.get("GET", "/v1/viewers", ""); !strings.HasPrefix(received, "200") {
		t.Fatal(received)
	}
	text, err := os.ReadFile(newIssuer(t).file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old.file, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	a.http.CloseIdleConnections()
	if received := a.get("GET", "/v1/viewers", ""); strings.HasPrefix(received, "200") {
		t.Errorf("a new connection: %s", received)
	}
}
