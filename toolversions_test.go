package runicorngrpc

import (
	"os"
	"regexp"
	"testing"
)

// TestGeneratorsMatchTheLibraries compares the versions that generated gen/
// with those that it is compiled against.
func TestGeneratorsMatchTheLibraries(t *testing.T) {
	library, generator := modFile(t, "go.mod"), modFile(t, "tools/proto/go.mod")
	for _, mod := range []string{
		"google.golang.org/protobuf",
		"github.com/grpc-ecosystem/grpc-gateway/v2",
	} {
		if library[mod] == "" || library[mod] != generator[mod] {
			t.Errorf("%s is %q in go.mod and %q in tools/proto/go.mod", mod, library[mod], generator[mod])
		}
	}
}

var requirement = regexp.MustCompile(`(?m)^\s*(?:require )?([\w./-]+) (v\S+)`)

func modFile(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	versions := make(map[string]string)
	for _, m := range requirement.FindAllStringSubmatch(string(text), -1) {
		versions[m[1]] = m[2]
	}
	return versions
}
