package realviewer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// requirementFiles pin each release and its server stack.
//
//go:embed requirements/*.txt
var requirementFiles embed.FS

// Install is one release in a virtual environment. It is read-only, and shared by all test
// processes of this user.
type Install struct {
	Version Version
	// Python is the absolute path of the environment's interpreter.
	Python string
	// Command is the absolute path of the release's command, `runicorn`.
	Command string
}

// marker is a file that marks an environment as complete. It is written last, so an
// interrupted build is repeated.
const marker = "complete"

// lockPoll is the poll interval while another process builds. The lock has no wait that a
// context could cancel.
const lockPoll = 100 * time.Millisecond

// Ensure returns the virtual environment of a release, and builds it if necessary. Several
// processes may call it at once: one builds, the others wait. It is in
// os.UserCacheDir()/runicorn-grpc/venvs/<version>-<hash>, where the hash covers the
// requirements and the interpreter, so a change of either causes a new build.
func Ensure(ctx context.Context, version Version) (*Install, error) {
	install, err := ensure(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("install Viewer %s: %w", version, err)
	}
	return install, nil
}

func ensure(ctx context.Context, version Version) (*Install, error) {
	requirements, err := requirementFiles.ReadFile("requirements/" + string(version) + ".txt")
	if err != nil {
		return nil, fmt.Errorf("no such release: %w", err)
	}
	dir, err := environmentDir(ctx, version, requirements)
	if err != nil {
		return nil, err
	}
	install := &Install{
		Version: version,
		Python:  filepath.Join(dir, scriptDir, "python"+exeSuffix),
		Command: filepath.Join(dir, scriptDir, "runicorn"+exeSuffix),
	}
	if install.isComplete(dir) {
		return install, nil
	}
	unlock, err := lockFile(ctx, dir+".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if install.isComplete(dir) {
		return install, nil
	}
	if err := buildEnvironment(ctx, dir, install.Python, requirements); err != nil {
		return nil, err
	}
	return install, nil
}

// isComplete reports whether the environment is built and its interpreter, a link to the
// system's, still exists.
func (i *Install) isComplete(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, marker))
	_, pythonErr := os.Stat(i.Python)
	return err == nil && pythonErr == nil
}

// environmentDir returns the directory of the environment.
func environmentDir(ctx context.Context, version Version, requirements []byte) (string, error) {
	if !supported {
		return "", fmt.Errorf("%w: not on this operating system", ErrUnavailable)
	}
	interpreter, err := exec.CommandContext(ctx, systemPython, "-c",
		"import sys; print(sys.version, sys.base_prefix)").Output()
	if err != nil {
		return "", fmt.Errorf("%w: ask %s for its version: %w", ErrUnavailable, systemPython, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	hash := sha256.Sum256(append(bytes.Clone(requirements), interpreter...))
	parent := filepath.Join(cache, "runicorn-grpc", "venvs")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return filepath.Join(parent, string(version)+"-"+hex.EncodeToString(hash[:6])), nil
}

// buildEnvironment builds the environment in its final location, because environments
// cannot be moved, and finally marks it complete. The lock must be held.
func buildEnvironment(ctx context.Context, dir, python string, requirements []byte) error {
	if err := createEmpty(ctx, dir, python); err != nil {
		return err
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o644); err != nil {
		return fmt.Errorf("write requirements: %w", err)
	}
	if err := runTool(ctx, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
		"--no-input", "--retries", "2", "-r", list); err != nil {
		return err
	}
	return mark(dir, marker)
}

// createEmpty creates an environment with pip only. It is kept if pip then fails, so that
// without PyPI not every process waits for a new one.
func createEmpty(ctx context.Context, dir, python string) error {
	const created = "created"
	_, err := os.Stat(filepath.Join(dir, created))
	_, pythonErr := os.Stat(python)
	if err == nil && pythonErr == nil {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove an incomplete environment: %w", err)
	}
	if err := runTool(ctx, systemPython, "-m", "venv", dir); err != nil {
		return err
	}
	return mark(dir, created)
}

func mark(dir, name string) error {
	if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
		return fmt.Errorf("mark the environment as %s: %w", name, err)
	}
	return nil
}

// runTool runs one step of a build. A failure means that the machine lacks something that
// the build needs.
func runTool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = childAttributes()
	// After pip was killed, its children may keep the pipe open.
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s: %w; its last output:\n%s", ErrUnavailable, cmd, err, lastBytes(out))
	}
	return nil
}

// lockFile takes an exclusive lock that ends with the process, and returns the function to
// release it. It waits until the context ends.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := tryLock(file)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing releases the lock
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for %s: %w", path, ctx.Err()), file.Close())
		}
	}
}
