package searchtest

import (
	"bufio"
	_ "embed" // for program
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

//go:embed oracle.py
var program string

// Run has the paths of the files of a run.
type Run struct {
	ID        string `json:"id"`
	EventFile string `json:"events"`
	// Dir is the folder of summary.json and assets.json.
	Dir string `json:"dir"`
	// IsTable means that the run is read from the merged table of 0.5, in which non-finite
	// values are missing.
	IsTable bool `json:"table"`
}

// Oracle is a process that evaluates filters and orders. It is safe for concurrent use.
type Oracle struct {
	mu        sync.Mutex
	stdin     io.WriteCloser
	responses *bufio.Reader
	process   *exec.Cmd
}

// NewOracle starts the oracle of a test. Without Python the test is skipped, unless
// RUNICORN_E2E is "required".
func NewOracle(tb testing.TB) *Oracle {
	tb.Helper()
	python, err := exec.LookPath("python3")
	switch {
	case err == nil:
	case os.Getenv("RUNICORN_E2E") == "required":
		tb.Fatal(err)
	default:
		tb.Skip("the oracle needs Python: ", err)
	}
	o := &Oracle{process: exec.CommandContext(tb.Context(), python, "-c", program)} //nolint:gosec // the embedded program
	o.process.Stderr = os.Stderr
	if o.stdin, err = o.process.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	stdout, err := o.process.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	o.responses = bufio.NewReader(stdout)
	if err := o.process.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = o.stdin.Close()
		_ = o.process.Wait() // killed by the end of the test's context
	})
	return o
}

// Expect returns the ids of the runs that a filter selects, in an order. The oracle reads the
// current files, and treats all runs as ended.
func (o *Oracle) Expect(tb testing.TB, runs []Run, term Term, order Order) []string {
	tb.Helper()
	ids, err := o.query(runs, term, order)
	if err != nil {
		tb.Fatalf("the oracle on %s, by %s: %v", term.Text, order.Text, err)
	}
	return ids
}

func (o *Oracle) query(runs []Run, term Term, order Order) (ids []string, err error) {
	request, err := json.Marshal(map[string]any{"runs": runs, "filter": term.tree, "order": order.keys})
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err = o.stdin.Write(append(request, '\n'))
	line, readErr := o.responses.ReadBytes('\n')
	if err := errors.Join(err, readErr); err != nil {
		return nil, err
	}
	return ids, json.Unmarshal(line, &ids)
}
