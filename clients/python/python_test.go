// Package pythonclient tests the Python client of this folder: its own tests
// run against the server's binary with several pairs of protobuf and grpcio,
// and a program without error handling follows runs of real Viewers while
// faults are injected.
package pythonclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// binary is the server.
var binary serverproc.Binary

// suite removes what the tests have built.
type suite struct{ tests *testing.M }

func (s suite) Run() int {
	code := s.tests.Run()
	if err := binary.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// pair is a combination of protobuf and grpcio versions.
type pair struct {
	name, protobuf, grpcio string
	extra                  []string // other packages in the same environment
	full                   bool     // only in `make full`
}

var pairs = []pair{
	{name: "oldest", protobuf: "4.25.8", grpcio: "1.60.2"},
	{name: "newest", protobuf: "7.36.2", grpcio: "1.85.3"},
	{name: "protobuf 5", protobuf: "5.29.5", grpcio: "1.68.1", full: true},
	{name: "protobuf 6", protobuf: "6.33.1", grpcio: "1.76.0", full: true},
	{
		name: "beside runicorn, tensorboard and googleapis-common-protos", protobuf: "6.33.1", grpcio: "1.76.0", full: true,
		extra: []string{"runicorn==0.7.2", "tensorboard", "googleapis-common-protos"},
	},
}

// TestTheClientWorksWithEveryPair runs the package's own tests. Pairs marked
// full run with RUNICORN_PYTHON_PAIRS=all.
func TestTheClientWorksWithEveryPair(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			if p.full && os.Getenv("RUNICORN_PYTHON_PAIRS") != "all" {
				t.Skip("set RUNICORN_PYTHON_PAIRS=all for all pairs, as make full does")
			}
			python := p.python(t)
			cmd := exec.CommandContext(t.Context(), python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short")
			cmd.Env = environment(t, binaryPath(t))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("pytest: %v\n%s", err, out)
			}
			t.Logf("%s", out)
			if len(p.extra) > 0 {
				importsBeside(t, python)
			}
		})
	}
}

// importsBeside imports our package before and after packages whose protos often
// conflict with others.
func importsBeside(t *testing.T, python string) {
	t.Helper()
	const others = "import runicorn, tensorboard.compat.proto.event_pb2, google.rpc.error_details_pb2, google.api.http_pb2\n"
	const ours = "import runicorn_grpc; runicorn_grpc.types.Experiment\n"
	for _, program := range []string{others + ours, ours + others} {
		cmd := exec.CommandContext(t.Context(), python, "-c", program)
		cmd.Env = environment(t, binaryPath(t))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, out)
		}
	}
}

// TestGeneratedFilesAreFresh generates them again and compares them.
func TestGeneratedFilesAreFresh(t *testing.T) {
	python := pairs[1].python(t)
	made := t.TempDir()
	run(t, python, "generate.py", made)
	for _, name := range []string{"contract.binpb", "types.pyi", "_sync.pyi"} {
		want, errMade := os.ReadFile(filepath.Join(made, name))
		have, err := os.ReadFile(filepath.Join("src/runicorn_grpc", name))
		if err := errors.Join(errMade, err); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, have) {
			t.Errorf("%s is stale: run python3 clients/python/generate.py", name)
		}
	}
}

// TestAUsersProgramIsTyped checks a program against the installed wheel, and
// the package's own source.
func TestAUsersProgramIsTyped(t *testing.T) {
	python := environmentOf(t, "types", "-r", "tests/requirements-types.txt", "-r", "tests/requirements.txt", "protobuf==7.36.2", "grpcio==1.85.3")
	run(t, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--force-reinstall", wheel(t))
	dir := t.TempDir()
	program, err := os.ReadFile("tests/typed_program.py")
	if err != nil {
		t.Fatal(err)
	}
	config := []byte(`{"include": ["program.py"], "typeCheckingMode": "strict", "pythonVersion": "3.10"}`)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "program.py"), program, 0o600), os.WriteFile(filepath.Join(dir, "pyrightconfig.json"), config, 0o600)); err != nil {
		t.Fatal(err)
	}
	run(t, python, "-m", "mypy", "--no-incremental", "--strict", "--python-version=3.10", "--config-file=", filepath.Join(dir, "program.py"))
	run(t, python, "-m", "pyright", "-p", dir, "--pythonpath", python)
	run(t, python, "-m", "mypy", "--no-incremental")
}

// TestTheWheelIsPure checks the content of the wheel.
func TestTheWheelIsPure(t *testing.T) {
	path := wheel(t)
	if !strings.HasSuffix(path, "-py3-none-any.whl") {
		t.Errorf("%s", path)
	}
	out, err := exec.CommandContext(t.Context(), pairs[1].python(t), "-m", "zipfile", "-l", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"runicorn_grpc/py.typed", "runicorn_grpc/contract.binpb", "runicorn_grpc/types.pyi", "runicorn_grpc/_sync.pyi"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the wheel lacks %s:\n%s", want, out)
		}
	}
	for _, unwanted := range []string{"_pb2", "tests/", "__pycache__"} {
		if bytes.Contains(out, []byte(unwanted)) {
			t.Errorf("the wheel has %s:\n%s", unwanted, out)
		}
	}
}

// python creates the environment of a pair, and returns its Python.
func (p pair) python(t *testing.T) string {
	t.Helper()
	packages := []string{"--only-binary=:all:", "-r", "tests/requirements.txt", "protobuf==" + p.protobuf, "grpcio==" + p.grpcio}
	return environmentOf(t, "pair", append(packages, p.extra...)...)
}

func binaryPath(t *testing.T) string {
	t.Helper()
	path, err := binary.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// environment returns the environment variables of a program that imports the wheel.
func environment(t *testing.T, server string) []string {
	t.Helper()
	return append(os.Environ(), "RUNICORN_GRPC_BINARY="+server, "PYTHONPATH="+installed(t), "PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=127.0.0.1,localhost")
}

// site is the folder into which the wheel is unpacked, once for all tests.
var site struct {
	once  sync.Once
	wheel string
	err   error
}

// wheel builds the wheel.
func wheel(t *testing.T) string {
	t.Helper()
	python := pairs[1].python(t)
	site.once.Do(func() {
		dir, err := binary.Dir()
		if err != nil {
			site.err = err
			return
		}
		// A copy, because hatchling writes into the source folder.
		source := filepath.Join(dir, "python")
		site.err = errors.Join(os.CopyFS(filepath.Join(source, "src"), os.DirFS("src")), copyFile("pyproject.toml", source), copyFile("README.md", source))
		// The wheel is built from the sdist, which checks that the sdist is complete.
		build := exec.CommandContext(context.WithoutCancel(t.Context()), python, "-m", "hatchling", "build", "-t", "sdist", "-d", filepath.Join(dir, "wheels"))
		build.Dir = source
		if out, err := build.CombinedOutput(); err != nil {
			site.err = errors.Join(site.err, fmt.Errorf("build the sdist: %w\n%s", err, out))
			return
		}
		sdists, err := filepath.Glob(filepath.Join(dir, "wheels", "runicorn_grpc-*.tar.gz"))
		if err != nil || len(sdists) != 1 {
			site.err = fmt.Errorf("hatchling made %q: %w", sdists, err)
			return
		}
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), python, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
			"--no-deps", "--no-build-isolation", "-w", filepath.Join(dir, "wheels"), sdists[0]).CombinedOutput(); err != nil {
			site.err = fmt.Errorf("build the wheel: %w\n%s", err, out)
			return
		}
		found, err := filepath.Glob(filepath.Join(dir, "wheels", "runicorn_grpc-*.whl"))
		if err != nil || len(found) != 1 {
			site.err = fmt.Errorf("pip made %q: %w", found, err)
			return
		}
		site.wheel = found[0]
		out, err := exec.CommandContext(context.WithoutCancel(t.Context()), python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target",
			filepath.Join(dir, "site"), site.wheel).CombinedOutput()
		if err != nil {
			site.err = fmt.Errorf("install the wheel: %w\n%s", err, out)
		}
	})
	if site.err != nil {
		t.Fatal(site.err)
	}
	return site.wheel
}

// installed returns the folder with the wheel's content.
func installed(t *testing.T) string {
	t.Helper()
	return filepath.Join(filepath.Dir(filepath.Dir(wheel(t))), "site")
}

func copyFile(path, dir string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, path), text, 0o600)
}

// environmentOf creates a virtual environment with these packages, which is cached
// between runs under a hash of its inputs, and returns its Python.
func environmentOf(t *testing.T, name string, packages ...string) string {
	t.Helper()
	system := realviewer.Require(t, realviewer.V072).Python
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	fmt.Fprintln(sum, system, packages)
	for _, argument := range packages {
		if strings.HasSuffix(argument, ".txt") {
			text, err := os.ReadFile(argument)
			if err != nil {
				t.Fatal(err)
			}
			sum.Write(text)
		}
	}
	dir := filepath.Join(cache, "runicorn-grpc", "venvs", "python-client-"+name+"-"+hex.EncodeToString(sum.Sum(nil)[:6]))
	python, complete := filepath.Join(dir, "bin", "python"), filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return python
	}
	run(t, system, "-m", "venv", "--clear", dir)
	run(t, python, append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"}, packages...)...)
	if err := os.WriteFile(complete, nil, 0o600); err != nil { // written last: an incomplete environment is created again
		t.Fatal(err)
	}
	return python
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
