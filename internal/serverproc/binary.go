// Package serverproc builds the server's binary and runs it as a process, for
// tests and measurements that use it as its users do: by its flags, its ports
// and its signals. The binary has the race detector where the program that
// builds it has it.
//
// It must not know the inside of any other package, nor what is said to the
// ports: its users bring their own clients.
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

// source is the package of the server; this works in any folder of the module.
const source = "github.com/runicorn-grpc/runicorn-grpc/cmd/server"

// Binary is the server, built from this checkout when it is first asked for.
// The zero value is ready. Safe for concurrent use.
type Binary struct {
	mu   sync.Mutex
	dir  string // empty until it is asked for
	path string // empty until it is built
}

// At returns a binary that somebody else has built.
func At(path string) *Binary { return &Binary{path: path} }

// Dir is the folder of the binary and the logs of its processes. Its users may
// keep files there; Close removes it.
func (b *Binary) Dir() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.makeDir()
}

// Path builds the binary, unless that was done, and returns where it is.
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

// Close removes what was made. Call it when all processes have ended.
func (b *Binary) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// makeDir makes the folder once. Called with mu held.
func (b *Binary) makeDir() (dir string, err error) {
	if b.dir == "" {
		b.dir, err = os.MkdirTemp("", "runicorn-grpc-server-")
	}
	return b.dir, err
}

// hasRaceDetector says whether this program was built with it.
func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
