package statefile

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const writerEnv = "STATEFILE_TEST_WRITER"

// TestFileWriter is the process that TestFile_SurvivesKill kills. It prints the number of
// each save after the save.
func TestFileWriter(t *testing.T) {
	path := os.Getenv(writerEnv)
	if path == "" {
		t.Skip("runs only as a process of TestFile_SurvivesKill")
	}
	f := open(t, path, 1<<20)
	for i := 0; ; i++ {
		n := i % 50
		save(t, f, time.Now(), Change{"v", strconv.Itoa(n), sample(n)}, Change{"v", "latest", sample(i)})
		fmt.Fprintln(os.Stdout, "saved", i)
	}
}

func TestFile_SurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "search.db")
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 8 {
		last := killWriter(t, path, 1+rng.IntN(40))
		f := open(t, path, 1<<20)
		got := loadAll(t, f, "v")
		if latest := readTime(got["latest"]).Unix(); latest < int64(last) {
			t.Fatalf("round %d: %d was saved, and %d is the latest", round, last, latest)
		}
		for i := range min(last, 50) {
			if !bytes.Equal(got[strconv.Itoa(i)], sample(i)) {
				t.Fatalf("round %d: value %d differs from the saved one", round, i)
			}
		}
		closeFile(t, f)
	}
}

// killWriter starts a writer, kills it after a number of saves, and returns the number of the
// last one that it printed.
func killWriter(t *testing.T, path string, lines int) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFileWriter$") //nolint:gosec // this test itself, killed below
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for n := 0; n < lines && scanner.Scan(); n++ {
		if _, err := fmt.Sscanf(scanner.Text(), "saved %d", &last); err != nil {
			t.Errorf("the writer printed %q", scanner.Text())
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	return last
}
