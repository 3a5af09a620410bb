package runicorngrpc

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const module = "github.com/runicorn-grpc/runicorn-grpc/"

// allowed says which packages a package may import; docs/architecture.md describes
// them. A package that is missing here fails the test: say what it may know.
var allowed = map[string][]string{
	"client":                           {"gen/runicornapi/v1"},
	"clients/python":                   {},
	"clients/python-compat":            {},
	"clients/python-server":            {},
	"cmd/server":                       {"", "internal/apierr", "internal/arrowflight", "internal/cli", "internal/compat", "internal/demoviewer", "internal/fleet", "internal/cpugate", "internal/follow", "internal/httpapi", "internal/netaddr", "internal/panics", "internal/restclient", "internal/runcache", "internal/service", "internal/service/answer", "internal/service/filestream", "internal/service/interceptor", "internal/service/remote", "internal/service/source", "internal/service/wire", "internal/search", "internal/tensorboard", "internal/dataserver", "gen/runicornapi/v1", "internal/auditlog"},
	"deploy":                           {},
	"gen/gateway/runicornapi/v1":       {"gen/runicornapi/v1"},
	"gen/runicornapi/v1":               {},
	"gen/tensorboard/data":             {},
	"internal/apierr":                  {"gen/runicornapi/v1"},
	"internal/apierr/apierrtest":       {},
	"internal/arrowflight":             {"gen/runicornapi/v1", "internal/apierr"},
	"internal/auditlog":                {},
	"internal/cli":                     {"", "client", "gen/runicornapi/v1", "internal/filter"},
	"internal/compat":                  {"gen/runicornapi/v1", "internal/apierr", "internal/filter", "internal/panics"},
	"internal/filter":                  {},
	"internal/dataserver":              {"client", "gen/tensorboard/data"},
	"internal/demoviewer":              {},
	"internal/downsample":              {},
	"internal/e2e":                     {},
	"internal/digest":                  {"internal/eventlog"},
	"internal/eventlog":                {},
	"internal/export":                  {"internal/downsample", "internal/eventlog"},
	"internal/faultlab":                {"internal/faultproxy", "internal/realviewer", "internal/serverproc"}, // for tests
	"internal/faultproxy":              {},
	"internal/fleet":                   {"internal/netaddr", "internal/restclient"},
	"internal/httpapi":                 {"gen/gateway/runicornapi/v1", "gen/runicornapi/v1", "internal/apierr", "internal/netaddr", "internal/panics"},
	"internal/panics":                  {},
	"internal/cpugate":                 {},
	"internal/realviewer":              {},
	"internal/restclient":              {"internal/eventlog", "internal/flight", "internal/scrub", "internal/viewerjson"},
	"internal/restclient/operations":   {},
	"internal/service":                 {"gen/runicornapi/v1", "internal/cpugate", "internal/fleet", "internal/follow", "internal/runcache", "internal/service/artifacts", "internal/service/drain", "internal/service/experiments", "internal/service/exports", "internal/service/metrics", "internal/service/points", "internal/service/remote", "internal/service/tail", "internal/service/viewers", "internal/search"},
	"internal/service/answer":          {"gen/runicornapi/v1", "internal/apierr"},
	"internal/service/artifacts":       {"gen/runicornapi/v1", "internal/apierr", "internal/eventlog", "internal/filter", "internal/fleet", "internal/restclient", "internal/runsource", "internal/service/answer", "internal/service/convert", "internal/service/errmap", "internal/service/filestream", "internal/service/page", "internal/service/source", "internal/service/target"},
	"internal/service/convert":         {"gen/runicornapi/v1", "internal/eventlog", "internal/restclient", "internal/runsource"},
	"internal/service/drain":           {"gen/runicornapi/v1", "internal/apierr"},
	"internal/service/errmap":          {"gen/runicornapi/v1", "internal/apierr", "internal/eventlog", "internal/fleet", "internal/restclient", "internal/service/convert"},
	"internal/service/experiments":     {"gen/runicornapi/v1", "internal/apierr", "internal/filter", "internal/fleet", "internal/restclient", "internal/service/answer", "internal/service/convert", "internal/service/errmap", "internal/service/page", "internal/service/runs", "internal/service/target", "internal/search"},
	"internal/service/exports":         {"gen/runicornapi/v1", "internal/apierr", "internal/cpugate", "internal/eventlog", "internal/export", "internal/fleet", "internal/restclient", "internal/runcache", "internal/runsource", "internal/service/convert", "internal/service/filestream", "internal/service/runs", "internal/service/source", "internal/service/target", "internal/search"},
	"internal/service/filestream":      {"gen/runicornapi/v1", "internal/apierr"},
	"internal/service/freshstack":      {"internal/panics"},
	"internal/service/interceptor":     {"gen/runicornapi/v1", "internal/apierr", "internal/fleet", "internal/service/answer", "internal/service/errmap", "internal/service/freshstack", "internal/service/target", "internal/service/wire"},
	"internal/service/metrics":         {"gen/runicornapi/v1", "internal/apierr", "internal/cpugate", "internal/downsample", "internal/eventlog", "internal/fleet", "internal/restclient", "internal/runcache", "internal/runsource", "internal/service/answer", "internal/service/convert", "internal/service/drain", "internal/service/errmap", "internal/service/page", "internal/service/points", "internal/service/runs", "internal/service/source", "internal/service/target", "internal/search"},
	"internal/service/page":            {"gen/runicornapi/v1", "internal/apierr", "internal/filter", "internal/service/answer"},
	"internal/service/points":          {"gen/runicornapi/v1", "internal/apierr", "internal/downsample", "internal/eventlog", "internal/runsource", "internal/service/convert"},
	"internal/service/remote":          {"gen/runicornapi/v1", "internal/apierr", "internal/fleet", "internal/restclient", "internal/service/convert", "internal/service/page"},
	"internal/service/runs":            {"gen/runicornapi/v1", "internal/apierr", "internal/filter", "internal/fleet", "internal/restclient", "internal/service/answer", "internal/service/convert", "internal/service/errmap", "internal/service/target", "internal/search", "internal/eventlog", "internal/runsource"},
	"internal/service/servicetest":     {"gen/runicornapi/v1", "internal/demoviewer/demotest", "internal/fleet", "internal/follow", "internal/restclient", "internal/runcache", "internal/service/interceptor", "internal/service/source", "internal/service/wire", "internal/search"},
	"internal/service/source":          {"gen/runicornapi/v1", "internal/apierr", "internal/eventlog", "internal/follow", "internal/restclient", "internal/runcache", "internal/runsource", "internal/service/target"},
	"internal/service/tail":            {"gen/runicornapi/v1", "internal/apierr", "internal/eventlog", "internal/filter", "internal/fleet", "internal/follow", "internal/logbatch", "internal/restclient", "internal/runsource", "internal/service/answer", "internal/service/convert", "internal/service/drain", "internal/service/errmap", "internal/service/freshstack", "internal/service/page", "internal/service/points", "internal/service/runs", "internal/service/source", "internal/service/target", "internal/service/wire", "internal/search"},
	"internal/service/target":          {"gen/runicornapi/v1", "internal/apierr", "internal/fleet", "internal/restclient", "internal/service/convert", "internal/service/errmap"},
	"internal/service/viewers":         {"gen/runicornapi/v1", "internal/apierr", "internal/fleet", "internal/restclient", "internal/service/convert", "internal/service/errmap", "internal/service/page", "internal/service/target", "internal/search"},
	"internal/service/wire":            {"internal/service/freshstack"},
	"internal/scrub":                   {},
	"internal/replicatest":             {"gen/runicornapi/v1", "internal/faultproxy", "internal/realviewer", "internal/serverproc"},
	"internal/serverproc":              {},
	"internal/search":                  {"internal/cpugate", "internal/eventlog", "internal/filter", "internal/fleet", "internal/restclient", "internal/runcache", "internal/runsource", "internal/search/statefile"},
	"internal/search/statefile":        {},
	"internal/search/searchtest":       {"internal/filter"},
	"internal/tensorboard":             {"gen/runicornapi/v1", "gen/tensorboard/data", "internal/apierr", "internal/downsample", "internal/eventlog", "internal/filter", "internal/fleet", "internal/flight", "internal/lru", "internal/restclient", "internal/runcache", "internal/runsource", "internal/search", "internal/service/convert", "internal/service/errmap", "internal/service/target"},
	"internal/viewerjson":              {"internal/scrub"},
	"internal/sshtest":                 {},
	"internal/flight":                  {},
	"internal/lru":                     {},
	"internal/netaddr":                 {},
	"internal/demoviewer/demotest":     {"internal/demoviewer"}, // for tests
	"internal/follow":                  {"internal/eventlog", "internal/flight", "internal/logbatch", "internal/lru", "internal/restclient", "internal/runsource"},
	"internal/logbatch":                {"internal/eventlog", "internal/runsource"},
	"internal/runcache":                {"internal/cpugate", "internal/digest", "internal/eventlog", "internal/flight", "internal/lru", "internal/restclient", "internal/runsource"},
	"internal/runsource":               {"internal/cpugate", "internal/eventlog", "internal/restclient"},
	"internal/runsource/runsourcetest": {"internal/eventlog", "internal/restclient", "internal/runsource"},
}

// forbidden are packages that a package must not import.
var forbidden = map[string][]string{
	"internal/downsample": {"net", "os", "time"},
	"internal/eventlog":   {"net", "os", "time"},
	"internal/filter":     {"net", "os"},
	"internal/apierr":     {"net", "net/http"},
	"internal/export":     {"google.golang.org/grpc", "net", "net/http", "os"},
	"internal/follow":     {"net/http"},
	"internal/runcache":   {"net/http"},
	"internal/runsource":  {"net/http"},
	"internal/search":     {"net/http"},
	"internal/service/":   {"net/http", "net/url"}, // and all packages below it
}

// forbiddenModules are modules that a package must not depend on, not even through others.
var forbiddenModules = map[string][]string{
	"client":              {"github.com/grpc-ecosystem"},
	"internal/cli":        {"github.com/grpc-ecosystem"},
	"internal/demoviewer": {"google.golang.org/grpc", "google.golang.org/protobuf"},
	"internal/fleet":      {"google.golang.org/grpc", "google.golang.org/protobuf"},
	"internal/restclient": {"google.golang.org/grpc", "google.golang.org/protobuf", "github.com/grpc-ecosystem"},
	"internal/follow":     {"google.golang.org/grpc", "google.golang.org/protobuf", "github.com/grpc-ecosystem"},
	"internal/runcache":   {"google.golang.org/grpc", "google.golang.org/protobuf", "github.com/grpc-ecosystem"},
}

// unchecked are folders without import rules: measurements, clients and examples.
var unchecked = []string{"bench", "clients", "examples"}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// TestPackagesImportOnlyWhatIsAllowed checks the import rules.
func TestPackagesImportOnlyWhatIsAllowed(t *testing.T) {
	for _, p := range listPackages(t) {
		pkg, inside := strings.CutPrefix(p.ImportPath, module)
		if !inside || slices.Contains(unchecked, strings.Split(pkg, "/")[0]) {
			continue // the root, and what has no import rules
		}
		imports, known := allowed[pkg]
		if !known {
			t.Errorf("package %s has no import rules: add it to allowed and to docs/architecture.md", pkg)
		}
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path+"/", module)
			if ours && !slices.Contains(imports, strings.TrimSuffix(to, "/")) {
				t.Errorf("%s imports %s, which is not allowed", pkg, path)
			}
			if slices.Contains(forbiddenTo(pkg), path) {
				t.Errorf("%s imports %s, which it must not know", pkg, path)
			}
		}
		for _, path := range p.Deps {
			for _, mod := range forbiddenModules[pkg] {
				if path == mod || strings.HasPrefix(path, mod+"/") {
					t.Errorf("%s depends on %s, which it must not know", pkg, path)
				}
			}
		}
	}
}

// forbiddenTo returns what a package must not import: its own entry and those of
// the folders above it, which end with a slash.
func forbiddenTo(pkg string) []string {
	paths := slices.Clone(forbidden[pkg])
	for folder, more := range forbidden {
		if strings.HasSuffix(folder, "/") && strings.HasPrefix(pkg+"/", folder) && pkg != "internal/service/servicetest" {
			paths = append(paths, more...)
		}
	}
	return paths
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		packages = append(packages, p)
	}
}
