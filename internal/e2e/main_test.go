// Package e2e runs the server's own binary in front of real Viewers of all
// three generations, and in demo mode, and uses it as its users do: by gRPC,
// by HTTP and by the README's commands.
//
// It must not import any other package of the server: it builds cmd/server, starts it as
// a process and connects to its ports. The expected responses are computed from the
// Viewers themselves and from the event files on their disks.
package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// lab holds the real Viewers that all tests share. Tests that change or stop
// one start their own.
var lab = realviewer.NewLab(nil)

// suite frames the tests: the shared Viewers and the binary end with them.
type suite struct{ tests interface{ Run() int } }

func (s suite) Run() int {
	code := s.tests.Run()
	if err := errors.Join(closeServers(), binary.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// parallelTests is the number of parallel tests unless -parallel is set: most of the time they
// wait for Viewers, SSH servers and registries.
const parallelTests = 4

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(max(parallelTests, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(lab.Around(suite{tests: m}))
}
