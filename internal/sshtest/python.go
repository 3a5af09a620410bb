package sshtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// errNoPython is the error if the account cannot use any Python of the right version.
var errNoPython = errors.New("no interpreter of this version that another account may use")

// python returns a directory whose python3 has the packages of a virtual environment. A
// created account cannot use an environment in another user's home, so it gets a copy of
// the packages (hard links where possible) and an interpreter of the same version that it
// may use.
func (a *account) python(ctx context.Context, dir, interpreter string) (bin string, err error) {
	if !a.own {
		return filepath.Dir(interpreter), nil
	}
	out, err := exec.CommandContext(ctx, interpreter, "-c",
		"import sys, sysconfig; print(sysconfig.get_path('purelib')); print('%d.%d' % sys.version_info[:2]); print(sys._base_executable)").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its packages: %w", interpreter, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 {
		return "", fmt.Errorf("ask %s for its packages: %q", interpreter, out)
	}
	packages, version, base := lines[0], lines[1], lines[2]
	usable, err := a.interpreter(ctx, version, base, "/usr/bin/python"+version, "/usr/local/bin/python"+version)
	if err != nil {
		return "", err
	}
	env, site := filepath.Join(dir, "python"), filepath.Join(dir, "packages")
	if err := tool(ctx, "cp", "-a", "--link", packages, site); err != nil {
		err = errors.Join(os.RemoveAll(site), tool(ctx, "cp", "-a", packages, site)) // hard links fail across file systems
		if err != nil {
			return "", err
		}
	}
	if err := tool(ctx, usable, "-m", "venv", "--without-pip", env); err != nil {
		return "", err
	}
	path := filepath.Join(env, "lib", "python"+version, "site-packages", "sshtest.pth")
	return filepath.Join(env, "bin"), os.WriteFile(path, []byte(site+"\n"), 0o644)
}

// interpreter returns the first candidate that has the version and that the account may
// use.
func (a *account) interpreter(ctx context.Context, version string, candidates ...string) (string, error) {
	for _, path := range candidates {
		cmd := exec.CommandContext(ctx, path, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])")
		cmd.SysProcAttr, cmd.Dir, cmd.Env = asUser(a.uid, a.gid), "/", []string{"PATH=/usr/bin:/bin"}
		if out, err := cmd.Output(); err == nil && strings.TrimSpace(string(out)) == version {
			return path, nil
		}
	}
	return "", fmt.Errorf("python %s: %w (tried %s)", version, errNoPython, strings.Join(candidates, ", "))
}
