package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs_FlightRuns runs the Python of docs/flight.md from its beginning to its
// end, as one program, against the demo.
func TestDocs_FlightRuns(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root(), "docs", "flight.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, "--demo")
	var program strings.Builder
	blocks := regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	for _, block := range blocks {
		program.WriteString(strings.ReplaceAll(block[1], "127.0.0.1:23310", s.grpcAddr))
	}
	if len(blocks) < 4 {
		t.Fatalf("%d blocks", len(blocks))
	}
	out, err := exec.CommandContext(t.Context(), exportsPython(t), "-c", program.String()).CombinedOutput() //nolint:gosec // our own
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"'step'", "live points:", "shape: (3, "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not print %q:\n%s", want, out)
		}
	}
}
