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

// arrows says which rooms a room may import; docs/architecture.md describes
// them. A room that is missing here fails the test: say what it may know.
var arrows = map[string][]string{
	"clients/python-compat":          {},
	"cmd/server":                     {"", "gen/runicornapi/v1", "internal/compat", "internal/demoviewer", "internal/fleet", "internal/httpface", "internal/panics", "internal/restclient", "internal/runlog", "internal/service"},
	"gen/runicornapi/v1":             {},
	"internal/compat":                {"gen/runicornapi/v1", "internal/filter", "internal/panics"},
	"internal/filter":                {},
	"internal/demoviewer":            {},
	"internal/downsample":            {},
	"internal/e2e":                   {},
	"internal/eventlog":              {},
	"internal/export":                {"internal/downsample", "internal/eventlog"},
	"internal/faultproxy":            {},
	"internal/fleet":                 {"internal/restclient"},
	"internal/httpface":              {"gen/runicornapi/v1", "internal/panics"},
	"internal/panics":                {},
	"internal/processor":             {},
	"internal/realviewer":            {},
	"internal/restclient":            {"internal/eventlog"},
	"internal/restclient/operations": {},
	"internal/runlog":                {"internal/eventlog", "internal/processor"},
	"internal/service":               {"gen/runicornapi/v1", "internal/downsample", "internal/eventlog", "internal/export", "internal/filter", "internal/fleet", "internal/panics", "internal/processor", "internal/restclient", "internal/runlog"},
	"internal/serverproc":            {},
	"internal/sshtest":               {},
}

// strangers are packages that a room must not import.
var strangers = map[string][]string{
	"internal/downsample": {"net", "os", "time"},
	"internal/eventlog":   {"net", "os", "time"},
	"internal/filter":     {"net", "os"},
	"internal/export":     {"google.golang.org/grpc", "net", "net/http", "os"},
	"internal/runlog":     {"net/http"},
	"internal/service":    {"net/http", "net/url"},
}

// foreign are modules that a room must not depend on, not even through others.
var foreign = map[string][]string{
	"internal/demoviewer": {"google.golang.org/grpc", "google.golang.org/protobuf"},
	"internal/fleet":      {"google.golang.org/grpc", "google.golang.org/protobuf"},
	"internal/restclient": {"google.golang.org/grpc", "google.golang.org/protobuf", "github.com/grpc-ecosystem"},
	"internal/runlog":     {"google.golang.org/grpc", "google.golang.org/protobuf", "github.com/grpc-ecosystem"},
}

// outside are folders that use the house and are no rooms of it: measurements,
// which go across rooms, and clients.
var outside = []string{"bench", "clients", "examples"}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// TestRoomsImportOnlyWhatTheArrowsAllow holds the structure of the house.
func TestRoomsImportOnlyWhatTheArrowsAllow(t *testing.T) {
	for _, p := range listPackages(t) {
		room, inside := strings.CutPrefix(p.ImportPath, module)
		if !inside || slices.Contains(outside, strings.Split(room, "/")[0]) {
			continue // the root, and what uses the house
		}
		allowed, known := arrows[room]
		if !known {
			t.Errorf("room %s has no arrows: add it to the map and to docs/architecture.md", room)
		}
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path+"/", module)
			if ours && !slices.Contains(allowed, strings.TrimSuffix(to, "/")) {
				t.Errorf("%s imports %s, which no arrow allows", room, path)
			}
			if slices.Contains(strangers[room], path) {
				t.Errorf("%s imports %s, which it must not know", room, path)
			}
		}
		for _, path := range p.Deps {
			for _, mod := range foreign[room] {
				if path == mod || strings.HasPrefix(path, mod+"/") {
					t.Errorf("%s depends on %s, which it must not know", room, path)
				}
			}
		}
	}
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
