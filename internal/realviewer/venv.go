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

// requirementFiles pin each release and the server stack below it.
//
//go:embed requirements/*.txt
var requirementFiles embed.FS

// Install is one release in a virtual environment. It is read-only once made,
// and shared by all test processes of this user.
type Install struct {
	// Version is the release.
	Version Version
	// Python is the absolute path of the environment's interpreter.
	Python string
	// Command is the absolute path of the release's command, `runicorn`.
	Command string
}

// marker is the file whose presence says that an environment is complete. It is
// written last, so a build that was cut off is made again.
const marker = "complete"

// lockPoll is how often a process looks whether another one has finished its
// build. The lock has no wait that a context could end.
const lockPoll = 100 * time.Millisecond

// Ensure makes the virtual environment of a release, or finds it made. Several
// processes may call it at once: one builds, the others wait. Its place is
// os.UserCacheDir()/runicorn-grpc/venvs/<version>-<hash>, the hash being that of
// the requirements and of the interpreter, so a change of either builds anew.
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

// isComplete says whether the environment is built and its interpreter, a link
// to the system's, is still there.
func (i *Install) isComplete(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, marker))
	_, pythonErr := os.Stat(i.Python)
	return err == nil && pythonErr == nil
}

// environmentDir names the place of the environment.
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

// buildEnvironment makes the environment in its final place, since an
// environment does not survive being moved, and marks it complete at the end.
// Called with the lock held.
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

// createEmpty makes an environment that holds pip only. It stays when pip then
// fails, so that without PyPI not every process waits for a new one.
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

// runTool runs one step of a build; its failure means that the machine lacks
// what the build needs.
func runTool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = childAttributes()
	// pip's children may hold the pipe open after pip was killed.
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s: %w; its last output:\n%s", ErrUnavailable, cmd, err, lastBytes(out))
	}
	return nil
}

// lockFile takes an exclusive lock that dies with the process, and returns how
// to give it back. It waits until the context ends.
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
			return func() { _ = file.Close() }, nil // closing gives the lock back
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
