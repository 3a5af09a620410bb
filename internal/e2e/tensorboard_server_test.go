package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/faultproxy"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// freeAddr returns an address that is not in use.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The other Viewers are shown, and the description names the missing one. After a restart of
// the server, TensorBoard continues.
func TestTensorBoard_OmitsAnUnreachableViewerAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	seeded := lab.Viewer(t, realviewer.V072)
	addr := freeAddr(t)
	flags := []string{
		"--grpc-addr=" + addr, "--viewer=up=" + seeded.URL(), "--viewer=down=http://" + freeAddr(t), "--viewer=legacy=" + lab.Viewer(t, realviewer.V053).URL(),
	}
	first, err := startServer(t.Context(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	b := startTensorBoard(t, newestTensorBoard, addr, nil)
	var environment struct {
		Description string `json:"experiment_description"`
	}
	b.get(t, "/data/environment", nil, &environment)
	if !strings.Contains(environment.Description, "viewer down") {
		t.Errorf("the description is %q", environment.Description)
	}
	before := b.runs(t)
	for _, viewer := range []string{"up/", "legacy/"} {
		if find(t, before, viewer, ""); len(before) < 20 {
			t.Errorf("%d runs", len(before))
		}
	}
	if curves, err := b.series(t, "loss"); err != nil || len(curves) < 10 {
		t.Errorf("%d curves, %v", len(curves), err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.tryGet(t, "/data/runs", nil, new([]string)); err == nil {
		t.Error("a request succeeds without a server")
	}
	mustStart(t, flags...)
	deadline := time.Now().Add(30 * time.Second)
	for {
		curves, err := b.series(t, "loss")
		if err == nil && len(curves) >= 10 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the restart: %d curves, %v", len(curves), err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// The requests to a Viewer of 0.7.2 are counted. For tags, hyperparameters and points
// together, the event file of a run is read once, and summary.json only if it differs from
// the response about all summaries.
func TestTensorBoard_ReadsAnEndedRunOnce(t *testing.T) {
	t.Parallel()
	seeded := lab.Viewer(t, realviewer.V072)
	proxy, err := faultproxy.New(seeded.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	s := mustStart(t, "--viewer=v07="+proxy.URL())
	b := startTensorBoard(t, newestTensorBoard, s.grpcAddr, nil)
	page := func() (requests map[string]int) {
		var groups struct{ SessionGroups []any }
		if err := b.post(t, "/data/plugin/hparams/session_groups", "application/json", allSessions, &groups); err != nil {
			t.Fatal(err)
		}
		for _, tag := range []string{"loss", "acc"} {
			if _, err := b.series(t, tag); err != nil {
				t.Fatal(err)
			}
		}
		requests = map[string]int{}
		for key, run := range seeded.Manifest.Runs {
			for _, route := range []string{"", "/assets", "/assets/download"} {
				if !running[key] {
					requests[key+route] = proxy.Requests(http.MethodGet, "/api/runs/"+run.RunID+route)
				}
			}
		}
		return requests
	}
	first := page()
	for key, files := range map[string]int{realviewer.KeyBasic: 1, realviewer.KeyNaN: 2, realviewer.KeyBig: 2} {
		if n := first[key+"/assets/download"]; n != files || first[key] != 0 || first[key+"/assets"] != 1 {
			t.Errorf("%s: %d files are read, want %d; the assets %d times, the run %d times", key, n, files, first[key+"/assets"], first[key])
		}
	}
	if again := page(); !maps.Equal(first, again) {
		t.Errorf("the second page reads again: %v, before %v", again, first)
	}
}

// Both select one Viewer; the experiment also selects a path.
func TestTensorBoard_TheAuthorityAndTheExperimentSelectAScope(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	_, port, err := net.SplitHostPort(s.grpcAddr)
	if err != nil {
		t.Fatal(err)
	}
	b := startTensorBoard(t, newestTensorBoard, "v07.localhost:"+port, nil)
	all := startTensorBoard(t, newestTensorBoard, s.grpcAddr, nil)
	var ofExperiment, below []string
	all.get(t, "/experiment/v07/data/runs", nil, &ofExperiment)
	if runs := b.runs(t); len(runs) == 0 || len(runs) != len(ofExperiment) || strings.HasPrefix(runs[0], "v07/") {
		t.Errorf("%d runs by the authority, %d by the experiment: %q", len(runs), len(ofExperiment), runs)
	}
	deep := lab.Viewer(t, realviewer.V072).Manifest.Runs[realviewer.KeyDeep]
	all.get(t, "/experiment/v07~"+url.PathEscape(strings.ReplaceAll(deep.Path, "/", "~"))+"/data/runs", nil, &below)
	if len(below) != 1 || !strings.HasSuffix(below[0], deep.RunID) {
		t.Errorf("the runs at or below %s are %q", deep.Path, below)
	}
	if err := all.tryGet(t, "/experiment/nosuch/data/runs", nil, new([]string)); err == nil || !strings.Contains(err.Error(), "404") || !strings.Contains(err.Error(), "known are v05, v06, v07") {
		t.Errorf("an unknown scope: %v", err)
	}
}

// Both types of credentials of TensorBoard are tested.
func TestTensorBoard_ConnectsOverTLS(t *testing.T) {
	t.Parallel()
	cert, key := writeCertificate(t)
	s := mustStart(t, "--demo", "--tls-cert="+cert, "--tls-key="+key)
	for _, kind := range []string{"ssl", "ssl_dev"} {
		t.Run(kind, func(t *testing.T) {
			b := startTensorBoard(t, newestTensorBoard, s.grpcAddr, []string{"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=" + cert}, "--grpc_creds_type="+kind)
			if runs := b.runs(t); len(runs) < 5 {
				t.Errorf("%d runs", len(runs))
			}
		})
	}
}

// writeCertificate writes a self-signed certificate for localhost.
func writeCertificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
