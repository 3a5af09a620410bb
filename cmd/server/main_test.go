package main

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// beMain makes a test binary behave as the server, for tests that need a separate
// process.
const beMain = "TEST_BE_THE_SERVER"

// update rewrites golden files.
var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	if os.Getenv(beMain) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}
