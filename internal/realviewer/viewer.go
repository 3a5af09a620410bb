package realviewer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options configures a Viewer. The zero Options are a Viewer of an empty storage.
type Options struct {
	// Storage is the directory of the runs. Empty: one that Close removes.
	Storage string
	// Port is the port of 127.0.0.1. Zero: a free one.
	Port int
	// Args are added to `runicorn viewer`.
	Args []string
	// Env is added to the Viewer's environment, as KEY=value.
	Env []string
}

// stopGrace is how long a Viewer may take to end by itself. It hangs while a handler of its
// log WebSocket is running, which clients cannot end.
const stopGrace = 5 * time.Second

// readyLimit is the timeout of a wait for a Viewer if the caller has no deadline.
const readyLimit = time.Minute

// portTries is how often Start tries another free port if another process took the first
// one in the meantime.
const portTries = 3

// Viewer is a running Viewer. Safe for concurrent use.
type Viewer struct {
	install *Install
	options Options // Storage and Port filled in
	dir     string  // home and output
	client  *http.Client

	mu   sync.Mutex
	proc *process
}

// Start runs a Viewer and waits until it answers. The context limits only the start: the
// caller ends the Viewer with Close.
func Start(ctx context.Context, install *Install, options Options) (*Viewer, error) {
	dir, err := os.MkdirTemp("", "realviewer-")
	if err != nil {
		return nil, fmt.Errorf("start Viewer %s: %w", install.Version, err)
	}
	v := &Viewer{install: install, options: options, dir: dir, client: newClient()}
	if v.options.Storage == "" {
		v.options.Storage = filepath.Join(dir, "storage")
	}
	if err := os.MkdirAll(v.options.Storage, 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("start Viewer %s: %w", install.Version, err), v.Close())
	}
	for try := 1; ; try++ {
		err := v.launchOnFreePort(ctx, options.Port)
		if err == nil {
			return v, nil
		}
		if try == portTries || options.Port != 0 || !errors.Is(err, errPortTaken) {
			return nil, errors.Join(err, v.Close())
		}
	}
}

// MustStart starts a Viewer for one test, which ends it; a failing test shows the end of
// its output.
func MustStart(tb testing.TB, install *Install, options Options) *Viewer {
	tb.Helper()
	v, err := Start(tb.Context(), install, options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("last output of Viewer %s:\n%s", install.Version, v.Output())
		}
		if err := v.Close(); err != nil {
			tb.Errorf("close Viewer %s: %v", install.Version, err)
		}
	})
	return v
}

// newClient returns a client that keeps no connections, and so no goroutines, after a call.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}
}

// freePort returns a port that is currently free.
func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port, err := netip.ParseAddrPort(address)
	return int(port.Port()), err
}

func (v *Viewer) launchOnFreePort(ctx context.Context, port int) error {
	if port == 0 {
		free, err := freePort(ctx)
		if err != nil {
			return err
		}
		port = free
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.options.Port = port
	return v.start(ctx)
}

var (
	errExited    = errors.New("it ended before it answered")
	errPortTaken = errors.New("its port was taken")
)

// start starts the process and waits until it is healthy. v.mu must be held.
func (v *Viewer) start(ctx context.Context) error {
	env, err := environment(filepath.Join(v.dir, "home"), v.options.Storage)
	if err != nil {
		return fmt.Errorf("start Viewer %s: %w", v.install.Version, err)
	}
	args := []string{"viewer", "--host", "127.0.0.1", "--port", strconv.Itoa(v.options.Port)}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), v.install.Command, append(args, v.options.Args...)...)
	cmd.Dir = v.dir
	cmd.Env = slices.Concat(env, v.options.Env)
	proc, err := startProcess(cmd, filepath.Join(v.dir, "output.log"))
	if err != nil {
		return fmt.Errorf("start Viewer %s: %w", v.install.Version, err)
	}
	v.proc = proc
	if err := v.awaitHealth(ctx); err != nil {
		return errors.Join(fmt.Errorf("start Viewer %s on port %d: %w; its last output:\n%s",
			v.install.Version, v.options.Port, err, proc.output()), proc.kill())
	}
	return nil
}

// awaitHealth waits until the Viewer answers. v.mu must be held.
func (v *Viewer) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	return retry(ctx, func() error {
		if over, _ := v.proc.exited(); over {
			if strings.Contains(v.proc.output(), "address already in use") {
				return final{errPortTaken}
			}
			return final{fmt.Errorf("%w (%s)", errExited, v.proc.cmd.ProcessState)}
		}
		var health struct{ Storage string }
		if err := v.getJSON(ctx, "/api/health", &health); err != nil {
			return err
		}
		if !sameFile(health.Storage, v.options.Storage) {
			return fmt.Errorf("another Viewer, of %s, answers on the port", health.Storage)
		}
		return nil
	})
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// AwaitRuns waits until the Viewer lists all these runs. After its start, Viewer 0.7.2
// reads runs that its database lacks from the disk in the background.
func (v *Viewer) AwaitRuns(ctx context.Context, runIDs ...string) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	err := retry(ctx, func() error {
		var runs []struct{ ID string }
		if err := v.getJSON(ctx, "/api/runs", &runs); err != nil {
			return err
		}
		listed := make(map[string]bool, len(runs))
		for _, run := range runs {
			listed[run.ID] = true
		}
		for _, runID := range runIDs {
			if !listed[runID] {
				return fmt.Errorf("run %s is not among the %d that are listed", runID, len(runs))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for runs of Viewer %s: %w", v.install.Version, err)
	}
	return nil
}

// getJSON reads one answer of the Viewer.
func (v *Viewer) getJSON(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL()+path, nil)
	if err != nil {
		return err
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}
