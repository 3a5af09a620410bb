// Package pythoncompat runs the documented Python client, as released on PyPI,
// against the server's binary: in front of real Viewers of all three
// generations, and in demo mode. The tests themselves are the pytest files in
// this folder; their results are the table in README.md.
package pythoncompat

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/runicorn-grpc/runicorn-grpc/internal/faultproxy"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
	"github.com/runicorn-grpc/runicorn-grpc/internal/sshtest"
)

var update = flag.Bool("update", false, "rewrite the table in README.md")

// began is the creation time of seeded runs, before those that tests log.
var began = time.Now().Add(-24 * time.Hour).Truncate(time.Second)

// lab has the real Viewers. In addition to the runs of every lab it has two of
// equal length, which the client's helper can compare, and one whose metrics
// exceed a message of 3 MiB.
var lab = realviewer.NewLab(map[string]realviewer.RunSpec{
	"twin_a": {Project: "twins", Name: "a", Created: began, Lines: realviewer.Curve(began, 40, "loss", "accuracy")},
	"twin_b": {Project: "twins", Name: "b", Created: began, Lines: realviewer.Curve(began, 40, "loss", "accuracy")},
	"huge":   {Project: "sizes", Name: "huge", Created: began, Lines: realviewer.Curve(began, 40_000, "a", "b", "c", "d", "e", "f")},
})

// binary is the server.
var binary serverproc.Binary

// suite removes the server's binary after the tests.
type suite struct{ tests interface{ Run() int } }

func (s suite) Run() int {
	code := s.tests.Run()
	if err := binary.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(lab.Around(suite{tests: m})) }

// generations are the columns of the table.
var generations = []string{"0.5.3", "0.6.0", "0.7.2", "demo"}

// TestTheDocumentedClientWorks runs all tests and compares the table.
func TestTheDocumentedClientWorks(t *testing.T) {
	python := venv(t)
	reports := make(map[string]map[string]string)
	dir := t.TempDir()
	// All run concurrently, independent of -parallel, because Viewers mostly wait
	// for SSH servers.
	var running sync.WaitGroup
	for _, generation := range generations {
		report := filepath.Join(dir, generation+".json")
		running.Go(func() {
			t.Run(generation, func(t *testing.T) {
				env := append(startForGeneration(t, generation), "RUNICORN_COMPAT_GENERATION="+generation, "RUNICORN_COMPAT_REPORT="+report)
				pytest(t, python, env)
			})
		})
	}
	running.Wait()
	for _, generation := range generations {
		reports[generation] = readReport(t, filepath.Join(dir, generation+".json"))
	}
	compareTable(t, tableOf(reports))
}

// startForGeneration starts the servers of a generation, and returns the environment
// for conftest.py.
func startForGeneration(t *testing.T, generation string) []string {
	t.Helper()
	if generation == "demo" {
		return append(demanding(t, "--demo"), "RUNICORN_COMPAT_URL="+startServer(t, "--demo"))
	}
	seeded := lab.Viewer(t, realviewer.Version(generation))
	proxy, err := faultproxy.New(seeded.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Errorf("close the proxy: %v", err)
		}
	})
	proxy.Add(&faultproxy.Rule{
		Path: "/api/runs", Status: 500, Body: `{"detail": "out of order"}`,
	})
	runs, err := json.Marshal(seeded.Manifest.Runs)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "runs.json")
	if err := os.WriteFile(path, runs, 0o600); err != nil {
		t.Fatal(err)
	}
	url := startServer(t, "--viewer=main="+seeded.URL(), "--viewer=gone=http://127.0.0.1:1", "--viewer=failing="+proxy.URL(),
		"--allow-config-writes")
	env := append(sshServer(t, seeded), demanding(t, "--viewer="+seeded.URL())...)
	return append(env, "RUNICORN_COMPAT_URL="+url, "RUNICORN_COMPAT_RUNS="+path)
}

// demanding starts one more server, which requires a token, and returns the
// environment for conftest.py.
func demanding(t *testing.T, viewer string) []string {
	t.Helper()
	const token = "canary-of-the-reader-0123456789"
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("read "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := startServer(t, viewer, "--auth-token-file="+path)
	return []string{"RUNICORN_COMPAT_DEMANDING_URL=" + url, "RUNICORN_COMPAT_TOKEN=" + token}
}

// startServer starts the binary and returns the URL of its HTTP port. It is stopped
// at the end of the test, and must exit without an error.
func startServer(t *testing.T, args ...string) string {
	t.Helper()
	process, err := binary.Start(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
		if t.Failed() {
			t.Logf("the server wrote:\n%s", process.Output())
		}
	})
	return "http://" + process.HTTPAddr
}

// sshServer starts an SSH server with a Viewer's release installed, and returns the
// environment for conftest.py; nil if there is no sshd.
func sshServer(t *testing.T, seeded *realviewer.Seeded) []string {
	t.Helper()
	there := false
	t.Run("ssh", func(t *testing.T) {
		sshtest.Require(t)
		there = true
	})
	if !there {
		return nil
	}
	sshd, err := sshtest.Start(t.Context(), sshtest.Options{Python: realviewer.Require(t, seeded.Manifest.Version).Python})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sshd.Close(); err != nil {
			t.Errorf("close the SSH server: %v", err)
		}
	})
	if sshd.Password == "" {
		return nil // without root there is no account with a password, and the client has no other secret to offer
	}
	return []string{
		fmt.Sprintf("RUNICORN_COMPAT_SSH_PORT=%d", sshd.Port), "RUNICORN_COMPAT_SSH_USER=" + sshd.User,
		"RUNICORN_COMPAT_SSH_PASSWORD=" + sshd.Password, "RUNICORN_COMPAT_SSH_HOME=" + sshd.Home,
		"RUNICORN_COMPAT_SSH_LOG=" + filepath.Join(sshd.Dir, "sshd.log"),
	}
}

// pytest runs the tests of this folder.
func pytest(t *testing.T, python string, env []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", ".")
	cmd.Env = append(os.Environ(), append(env, "PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=127.0.0.1,localhost")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("pytest: %v\n%s", err, out)
		return
	}
	t.Logf("%s", out)
}

func readReport(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // skipped, or failed before
	}
	var report map[string]string
	if err := json.Unmarshal(text, &report); err != nil {
		t.Errorf("read the report: %v", err)
	}
	return report
}

// tableOf returns the table, method by generation.
func tableOf(reports map[string]map[string]string) string {
	methods := map[string]bool{}
	for _, report := range reports {
		for method := range report {
			methods[method] = true
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| method | %s |\n|---|%s\n", strings.Join(generations, " | "), strings.Repeat("---|", len(generations)))
	for _, method := range slices.Sorted(maps.Keys(methods)) {
		fmt.Fprintf(&b, "| `%s` |", method)
		for _, generation := range generations {
			cell := reports[generation][method]
			if cell == "" {
				cell = "-"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	return b.String()
}

var tableInREADME = regexp.MustCompile(`(?ms)^\| method \|.*?\n(?:\|[^\n]*\n)+`)

// compareTable prints the table, and compares it with the one in README.md if all
// generations were tested.
func compareTable(t *testing.T, table string) {
	t.Helper()
	t.Logf("the documented client:\n%s", table)
	if strings.Contains(table, " - |") || t.Failed() {
		return
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		readme = tableInREADME.ReplaceAllLiteral(readme, []byte(table))
		if err := os.WriteFile("README.md", readme, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(tableInREADME.Find(readme)), table); diff != "" {
		t.Errorf("the table of README.md is another one; -update writes it (-README +found):\n%s", diff)
	}
}

// venv creates the client's environment, which is cached between runs, and returns
// its Python.
func venv(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "runicorn-grpc", "venvs", "python-compat")
	python, list := filepath.Join(dir, "bin", "python"), filepath.Join(dir, "requirements.txt")
	want, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadFile(list); err == nil && string(have) == string(want) {
		return python
	}
	system := realviewer.Require(t, realviewer.V072).Python
	for _, args := range [][]string{
		{system, "-m", "venv", "--clear", dir},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r", "requirements.txt"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if err := os.WriteFile(list, want, 0o600); err != nil { // written last: an incomplete environment is created again
		t.Fatal(err)
	}
	return python
}
