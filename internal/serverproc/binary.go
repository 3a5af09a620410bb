// Package serverproc builds the server's binary and runs it as a process, for tests and
// measurements that use it as users do: by its flags, ports and signals. The binary is
// built with the race detector if the calling program was.
//
// It must not import any other package of the server, nor contain clients: its users
// bring their own.
package serverproc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
)

// source is the import path of the server; it can be built from any folder of the module.
const source = "github.com/runicorn-grpc/runicorn-grpc/cmd/server"

// Binary is the server, built from this checkout on first use. The zero value is ready.
// Safe for concurrent use.
type Binary struct {
	mu   sync.Mutex
	dir  string // empty until it is created
	path string // empty until it is built
}

// At returns a binary that already exists.
func At(path string) *Binary { return &Binary{path: path} }

// Dir returns the folder of the binary and the logs of its processes. Callers may keep
// files there; Close removes it.
func (b *Binary) Dir() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.makeDir()
}

// Path builds the binary unless it is already built, and returns its path.
func (b *Binary) Path(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.path != "" {
		return b.path, nil
	}
	dir, err := b.makeDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "server")
	args := []string{"build", "-o", path}
	if hasRaceDetector() {
		args = append(args, "-race")
	}
	if out, err := exec.CommandContext(ctx, "go", append(args, source)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	b.path = path
	return path, nil
}

// Close removes all files. All processes must have ended.
func (b *Binary) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// makeDir creates the folder once. The caller holds mu.
func (b *Binary) makeDir() (dir string, err error) {
	if b.dir == "" {
		b.dir, err = os.MkdirTemp("", "runicorn-grpc-server-")
	}
	return b.dir, err
}

// hasRaceDetector reports whether this program was built with the race detector.
func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
