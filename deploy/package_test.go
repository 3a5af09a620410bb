package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// binary is the server, built once.
var binary serverproc.Binary

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(closing{m})
}

// closing removes the binary when the tests have ended.
type closing struct{ tests interface{ Run() int } }

func (c closing) Run() int {
	code := c.tests.Run()
	if err := binary.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func TestThePackagedConfigurationIsAcceptedByTheServer(t *testing.T) {
	t.Parallel()
	server, err := binary.Start(t.Context(), "--config=systemd/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(server.Output(), "viewers  lab") {
		t.Errorf("the server wrote\n%s", server.Output())
	}
}

func TestTheUnitIsValidAndConfined(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip(err)
	}
	text, err := os.ReadFile("systemd/runicorn-grpc.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "runicorn-grpc.service")
	if err := os.WriteFile(unit, bytes.Replace(text, []byte("/usr/bin/runicorn-grpc"), []byte("/bin/true"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", unit).CombinedOutput()
	found := regexp.MustCompile(`exposure level[^:]*: ([0-9.]+)`).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if exposure, err := strconv.ParseFloat(string(found[1]), 64); err != nil || exposure > 1.5 {
		t.Errorf("the exposure of the unit is %s, want 1.5 at most", found[1])
	}
}

func TestFilesNamedByThePackagesExist(t *testing.T) {
	t.Parallel()
	var deb struct {
		Contents []struct{ Src string }
		Scripts  map[string]string
	}
	readYAML(t, "package/nfpm.yaml", &deb)
	files := []string{}
	for _, c := range deb.Contents {
		files = append(files, c.Src)
	}
	for _, s := range deb.Scripts {
		files = append(files, s)
	}
	if len(files) < 8 {
		t.Errorf("the deb has only %q", files)
	}
	for _, file := range files {
		if strings.HasPrefix(file, "${") {
			continue
		}
		if _, err := os.Stat(filepath.Join("..", file)); err != nil {
			t.Error(err)
		}
	}
}

// manifest is what is checked of a Kubernetes object.
type manifest struct {
	Kind string
	Spec struct {
		Template struct {
			Spec struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				Containers                    []struct {
					Args []string
					Env  []struct{ Name, Value string }
				}
			}
		}
	}
}

// TestKubernetes_FitsTheServer: its flags exist, it has more time to end than it
// drains, and probes send a Host header that it answers to.
func TestKubernetes_FitsTheServer(t *testing.T) {
	t.Parallel()
	path, err := binary.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.CommandContext(t.Context(), path, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	set := manifestOf(t, "kubernetes/server.yaml", "StatefulSet")
	container := set.Spec.Template.Spec.Containers[0]
	drain := time.Duration(0)
	for _, arg := range container.Args {
		flag, value, _ := strings.Cut(arg, "=")
		if !regexp.MustCompile(`(?m)^ +(-\w, )?` + flag + `\b`).Match(help) {
			t.Errorf("there is no flag %s", flag)
		}
		if flag == "--drain-timeout" {
			if drain, err = time.ParseDuration(value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if grace := time.Duration(set.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second; drain == 0 || grace <= drain {
		t.Errorf("the pod is killed after %v and drains for %v", grace, drain)
	}
	text, err := os.ReadFile("kubernetes/server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	probes := bytes.Count(text, []byte("Probe:"))
	if hosts := bytes.Count(text, []byte("httpHeaders: [{name: Host, value: localhost}]")); probes != 3 || hosts != probes {
		t.Errorf("%d probes, %d with the Host header", probes, hosts)
	}
}

// TestKubernetes_SetsVariablesThatHAProxyReads: with a misspelled name the default would
// stay in use.
func TestKubernetes_SetsVariablesThatHAProxyReads(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile("haproxy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	env := manifestOf(t, "kubernetes/haproxy.yaml", "Deployment").Spec.Template.Spec.Containers[0].Env
	if len(env) < 8 {
		t.Errorf("only %d variables", len(env))
	}
	for _, e := range env {
		if !regexp.MustCompile(`(?m)(presetenv +|defined\()` + e.Name + `\b`).Match(config) {
			t.Errorf("haproxy.cfg does not read %s", e.Name)
		}
	}
}

func manifestOf(t *testing.T, path, kind string) manifest {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for documents := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var m manifest
		if err := documents.Decode(&m); errors.Is(err, io.EOF) {
			t.Fatalf("%s has no %s", path, kind)
		} else if err != nil {
			t.Fatal(err)
		}
		if m.Kind == kind {
			return m
		}
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}
