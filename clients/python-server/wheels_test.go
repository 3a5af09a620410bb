// Package pythonserver tests the wheels with the server's binary: their tags, their
// content, and that pip installs a working command and removes it completely.
package pythonserver

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tags are the tags of each platform's wheel.
var tags = map[string]string{
	"linux/amd64":   "py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.musllinux_1_1_x86_64",
	"linux/arm64":   "py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.musllinux_1_1_aarch64",
	"darwin/amd64":  "py3-none-macosx_12_0_x86_64",
	"darwin/arm64":  "py3-none-macosx_12_0_arm64",
	"windows/amd64": "py3-none-win_amd64",
}

// TestWheels builds the wheel of this machine; with RUNICORN_PYTHON_PAIRS=all
// those of all platforms.
func TestWheels(t *testing.T) {
	python := tools(t)
	host := runtime.GOOS + "/" + runtime.GOARCH
	platforms := []string{host}
	if os.Getenv("RUNICORN_PYTHON_PAIRS") == "all" {
		platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"}
	}
	dist := t.TempDir()
	out, err := command(t, python, append([]string{"build.py", dist}, platforms...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("build.py: %v\n%s", err, out)
	}
	wheels, err := filepath.Glob(filepath.Join(dist, "*"))
	if err != nil || len(wheels) != len(platforms) {
		t.Fatalf("%d platforms made %q: %v", len(platforms), wheels, err)
	}
	for _, platform := range platforms {
		t.Run(platform, func(t *testing.T) {
			at := slices.IndexFunc(wheels, func(path string) bool { return sameTags(path, tags[platform]) })
			if at < 0 {
				t.Fatalf("no wheel with the tags %s in %q", tags[platform], wheels)
			}
			checkWheel(t, wheels[at], platform)
			if platform == host {
				checkInstall(t, wheels[at])
			}
		})
	}
}

// sameTags compares the tags in a wheel's name, whatever their order.
func sameTags(path, want string) bool {
	name := strings.TrimSuffix(filepath.Base(path), ".whl")
	at := strings.Index(name, "py3-none-")
	if at < 0 {
		return false
	}
	have := strings.Split(strings.TrimPrefix(name[at:], "py3-none-"), ".")
	wanted := strings.Split(strings.TrimPrefix(want, "py3-none-"), ".")
	slices.Sort(have)
	slices.Sort(wanted)
	return slices.Equal(have, wanted)
}

// checkWheel checks the binary in a wheel.
func checkWheel(t *testing.T, path, platform string) {
	t.Helper()
	wheel, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer wheel.Close()
	at := slices.IndexFunc(wheel.File, func(f *zip.File) bool { return strings.Contains(f.Name, ".data/scripts/runicorn-grpc") })
	if at < 0 {
		t.Fatalf("%s has no script", path)
	}
	file := wheel.File[at]
	if file.Mode().Perm()&0o111 != 0o111 {
		t.Errorf("%s has mode %v, no run bit", file.Name, file.Mode())
	}
	if windows := strings.HasPrefix(platform, "windows/"); strings.HasSuffix(file.Name, ".exe") != windows {
		t.Errorf("the script is called %s", file.Name)
	}
	reader, err := file.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := platformOf(content); got != platform {
		t.Errorf("the binary is for %q", got)
	}
}

// platformOf returns the platform of a binary.
func platformOf(content []byte) string {
	r := bytes.NewReader(content)
	if f, err := elf.NewFile(r); err == nil {
		if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
			return "not static"
		}
		return "linux/" + map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[f.Machine]
	}
	if f, err := macho.NewFile(r); err == nil {
		return "darwin/" + map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}[f.Cpu]
	}
	if f, err := pe.NewFile(r); err == nil && f.Machine == pe.IMAGE_FILE_MACHINE_AMD64 {
		return "windows/amd64"
	}
	return ""
}

// checkInstall installs a wheel into a fresh environment, serves the demo, and
// removes it again.
func checkInstall(t *testing.T, wheel string) {
	t.Helper()
	env := filepath.Join(t.TempDir(), "env")
	must(t, tools(t), "-m", "venv", env)
	python := filepath.Join(env, "bin", "python")
	before := files(t, env)
	must(t, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-index", wheel)
	checkServes(t, filepath.Join(env, "bin", "runicorn-grpc"))
	checkServes(t, python, "-B", "-m", "runicorn_grpc_server")
	must(t, python, "-m", "pip", "uninstall", "--quiet", "--yes", "runicorn-grpc-server")
	if after := files(t, env); !slices.Equal(before, after) {
		t.Errorf("uninstall leaves %q", slices.DeleteFunc(after, func(path string) bool { return slices.Contains(before, path) }))
	}
}

var banner = regexp.MustCompile(`^HTTP +http://`)

// checkServes starts the demo, and stops it with a signal.
func checkServes(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := command(t, name, append(args, "--demo", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0")...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	serves := false
	for lines := bufio.NewScanner(out); !serves && lines.Scan(); {
		serves = banner.MatchString(lines.Text())
	}
	if !serves {
		t.Errorf("%s does not serve", cmd)
	}
	if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
		t.Errorf("%s: %v", cmd, err)
	}
}

// files returns the files below a folder, except compiled Python files.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && !strings.Contains(path, "__pycache__") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// tools creates the environment that builds wheels, which is cached between runs.
func tools(t *testing.T) string {
	t.Helper()
	system := realviewer.Require(t, realviewer.V072).Python
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "runicorn-grpc", "venvs", "python-server-hatchling-1.33.0")
	python, complete := filepath.Join(dir, "bin", "python"), filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return python
	}
	must(t, system, "-m", "venv", "--clear", dir)
	must(t, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "hatchling==1.33.0")
	if err := os.WriteFile(complete, nil, 0o600); err != nil { // written last: an incomplete environment is created again
		t.Fatal(err)
	}
	return python
}

func must(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := command(t, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(append([]string{name}, args...), " "), err, out)
	}
}

func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	// The flags of this test must not affect the tools.
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}
