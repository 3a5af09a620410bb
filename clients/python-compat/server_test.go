package pythoncompat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// workDir is where this process keeps its files; TestMain removes it.
var workDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "runicorn-grpc-compat-")
	if err != nil {
		panic(err)
	}
	return dir
})

// binary builds the server, once per process.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workDir(), "server")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/server").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return path, nil
})

// startServer starts the binary on free ports and returns the URL of its HTTP
// side. It ends with the test, and has to end well.
func startServer(t *testing.T, args ...string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	httpAddr := freeAddr(t)
	var out bytes.Buffer
	cmd := exec.Command(path, append([]string{"--grpc-addr=" + freeAddr(t), "--http-addr=" + httpAddr}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		timer := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			t.Errorf("stop the server: %v", err)
		}
		if t.Failed() {
			t.Logf("the server wrote:\n%s", out.Bytes()[max(0, out.Len()-8<<10):])
		}
	})
	url := "http://" + httpAddr
	if err := awaitReady(t.Context(), url+"/readyz"); err != nil {
		t.Fatal(err)
	}
	return url
}

// awaitReady asks until the server says that it is ready.
func awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			if err := resp.Body.Close(); err == nil && resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the server: %w", ctx.Err())
		}
	}
}

// freeAddr returns an address that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
