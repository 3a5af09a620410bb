package realviewer

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// scripts run on the SDKs.
//
//go:embed python/*.py
var scripts embed.FS

// unpackScripts writes the scripts to a directory for Python.
func unpackScripts(dir string) error {
	sub, err := fs.Sub(scripts, "python")
	if err != nil {
		return fmt.Errorf("unpack scripts: %w", err)
	}
	if err := os.CopyFS(dir, sub); err != nil {
		return fmt.Errorf("unpack scripts: %w", err)
	}
	return nil
}

// Seed fills a storage with the release's own SDK, in one process of about a second. The
// runs are in the Manifest under the keys above. Viewer 0.7.2 must not run on the storage
// meanwhile: its start and the SDK would compete for database rows, and the loser leaves
// the database locked.
func Seed(ctx context.Context, install *Install, storage string) (*Manifest, error) {
	manifest, err := seed(ctx, install, storage)
	if err != nil {
		return nil, fmt.Errorf("seed a storage of %s: %w", install.Version, err)
	}
	return manifest, nil
}

func seed(ctx context.Context, install *Install, storage string) (*Manifest, error) {
	dir, err := os.MkdirTemp("", "realviewer-seed-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	if err := os.MkdirAll(storage, 0o755); err != nil {
		return nil, err
	}
	cmd, err := scriptCommand(ctx, install, dir, storage, "seed.py", string(install.Version), filepath.Join(dir, "work"))
	if err != nil {
		return nil, err
	}
	answer := filepath.Join(dir, "manifest.json")
	stdout, err := os.Create(answer)
	if err != nil {
		return nil, err
	}
	defer stdout.Close() //nolint:errcheck // the child writes to it
	cmd.Stdout = stdout
	proc, err := startProcess(cmd, filepath.Join(dir, "output.log"))
	if err != nil {
		return nil, err
	}
	select {
	case <-proc.done:
	case <-ctx.Done():
		if err := proc.kill(); err != nil {
			return nil, err
		}
		return nil, ctx.Err()
	}
	if _, err := proc.exited(); err != nil {
		return nil, fmt.Errorf("%w; its last output:\n%s", err, proc.output())
	}
	return readManifest(install.Version, answer)
}

func readManifest(version Version, path string) (*Manifest, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	manifest := &Manifest{Version: version}
	if err := json.Unmarshal(text, manifest); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return manifest, nil
}

// scriptCommand returns the command of a script on the release's SDK, with dir/work as
// working directory. The process outlives the context.
func scriptCommand(ctx context.Context, install *Install, dir, storage, script string, args ...string) (*exec.Cmd, error) {
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	if err := unpackScripts(filepath.Join(dir, "python")); err != nil {
		return nil, err
	}
	env, err := environment(filepath.Join(dir, "home"), storage)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), install.Python, append([]string{filepath.Join(dir, "python", script)}, args...)...)
	cmd.Dir, cmd.Env = work, env
	return cmd, nil
}
