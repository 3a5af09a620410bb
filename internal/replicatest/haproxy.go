//go:build unix

package replicatest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
)

// startLimit is the maximum duration of a start of HAProxy, which normally takes a tenth
// of a second.
const startLimit = 20 * time.Second

// haproxy is a restartable process of HAProxy.
type haproxy struct {
	program, config    string
	env                []string
	grpcAddr, httpAddr string
	roots              *x509.CertPool
	log                string
	admin              string // a configuration with the socket of the statistics
	socket             string

	cmd   *exec.Cmd
	ended chan struct{}
}

// Program returns the path of HAProxy, which Debian installs outside of users' PATH.
func Program() (string, error) {
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/haproxy")
	}
	if err != nil {
		return "", errors.New("haproxy is not installed")
	}
	return path, nil
}

// newHAProxy prepares HAProxy with addresses that stay the same over restarts.
func newHAProxy(ctx context.Context, config, dir string, replicas []*Replica) (*haproxy, error) {
	program, err := Program()
	if err != nil {
		return nil, err
	}
	h := &haproxy{
		program: program, config: config, log: filepath.Join(dir, "haproxy.log"),
		admin: filepath.Join(dir, "admin.cfg"), socket: filepath.Join(dir, "admin.sock"),
	}
	if err := os.WriteFile(h.admin, []byte("global\n    stats socket "+h.socket+" mode 600\n"), 0o600); err != nil {
		return nil, err
	}
	if h.grpcAddr, err = freeAddr(ctx); err != nil {
		return nil, err
	}
	if h.httpAddr, err = freeAddr(ctx); err != nil {
		return nil, err
	}
	cert := filepath.Join(dir, "cert.pem")
	if h.roots, err = writeCertificate(cert); err != nil {
		return nil, err
	}
	h.env = append(os.Environ(), "RUNICORN_GRPC_BIND="+h.grpcAddr, "RUNICORN_HTTP_BIND="+h.httpAddr, "RUNICORN_CERT="+cert)
	h.env = append(h.env, "RUNICORN_CHANGES=abns@"+filepath.Base(dir))
	if os.Geteuid() != 0 {
		h.env = append(h.env, "HAPROXY_UNPRIVILEGED=1")
	}
	for i := range maxReplicas {
		grpcAddr, httpAddr := "127.0.0.1:1", "127.0.0.1:1" // nothing listens there
		if i < len(replicas) {
			grpcAddr, httpAddr = replicas[i].process.GRPCAddr, replicas[i].process.HTTPAddr
		}
		h.env = append(h.env, fmt.Sprintf("RUNICORN_REPLICA_%d=%s", i+1, grpcAddr), fmt.Sprintf("RUNICORN_REPLICA_%d_HTTP=%s", i+1, httpAddr))
	}
	return h, nil
}

// start starts the process and waits until a replica answers through it.
func (h *haproxy) start(ctx context.Context) error {
	log, err := os.OpenFile(h.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // in a folder of this test
	if err != nil {
		return err
	}
	defer log.Close()                                                     //nolint:errcheck // the child holds its own descriptor
	h.cmd = exec.Command(h.program, "-db", "-f", h.config, "-f", h.admin) //nolint:noctx,gosec // ended by stop
	h.cmd.Env, h.cmd.Stdout, h.cmd.Stderr = h.env, log, log
	if err := h.cmd.Start(); err != nil {
		return fmt.Errorf("start haproxy: %w", err)
	}
	cmd, ended := h.cmd, make(chan struct{})
	h.ended = ended
	go func() { // ends with the process
		defer close(ended)
		_ = cmd.Wait() // always an error, as a signal ends it
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		code, _, err := h.get(ctx, "/readyz")
		if err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ended:
			return fmt.Errorf("haproxy ended during its start:\n%s", h.output())
		case <-ctx.Done():
			return fmt.Errorf("wait for haproxy: %w: /readyz is %d, %w\n%s", ctx.Err(), code, err, h.output())
		}
	}
}

// stop ends the process with its connections.
func (h *haproxy) stop() error {
	if h.cmd == nil || h.cmd.Process == nil {
		return nil
	}
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-h.ended
	return nil
}

func (h *haproxy) output() string {
	text, err := os.ReadFile(h.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (h *haproxy) tls() *tls.Config {
	return &tls.Config{RootCAs: h.roots, MinVersion: tls.VersionTLS12}
}

// dial returns a connection that reconnects quickly when HAProxy is restarted: grpc-go's
// default backoff is a second and more.
func (h *haproxy) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient(h.grpcAddr, grpc.WithTransportCredentials(credentials.NewTLS(h.tls())),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}))
}

func (h *haproxy) get(ctx context.Context, path string) (status int, body string, err error) {
	transport := &http.Transport{TLSClientConfig: h.tls(), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+h.httpAddr+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(text)), err
}

// sentElsewhere returns how many reads HAProxy sent to another replica than the one of
// their run because that one did not accept them within `timeout connect`, and how often
// it considered a replica down.
func (h *haproxy) sentElsewhere(ctx context.Context) (redispatched, down int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read haproxy's statistics: %w", err)
		}
	}()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", h.socket)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close() //nolint:errcheck // only read
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return 0, 0, err
	}
	rows, err := csv.NewReader(conn).ReadAll()
	if err != nil {
		return 0, 0, err
	}
	for _, row := range rows[1:] {
		value := func(column string) string { return row[slices.Index(rows[0], column)] }
		var times int
		switch name, server := value("# pxname"), value("svname"); {
		case name == "grpc_reads" && server == "BACKEND":
			_, err = fmt.Sscan(value("wredis"), &redispatched)
		case name == "http_replicas" && server != "BACKEND" && value("chkdown") != "":
			_, err = fmt.Sscan(value("chkdown"), &times)
			down += times
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return redispatched, down, nil
}

// freeAddr returns a loopback address that is currently free.
func freeAddr(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// writeCertificate writes a certificate for loopback and its key in one file, as HAProxy
// requires, and returns a pool that trusts it.
func writeCertificate(path string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return roots, os.WriteFile(path, append(certificate, private...), 0o600)
}
