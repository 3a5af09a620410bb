package search

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"
)

const writerEnv = "SEARCH_TEST_WRITER"

// TestStoreWriter is the process that TestStore_SurvivesKill kills. It prints the number of
// each save after the save.
func TestStoreWriter(t *testing.T) {
	path := os.Getenv(writerEnv)
	if path == "" {
		t.Skip("runs only as a process of TestStore_SurvivesKill")
	}
	s := newTestStore(t, path, 1<<20)
	for i := 0; ; i++ {
		n := i % 50
		if err := s.save([]stored{{"v", strconv.Itoa(n), sampleRecord(n)}, {"v", "latest", sampleRecord(i)}}, time.Now()); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(os.Stdout, "saved", i)
	}
}

func TestStore_SurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "search.db")
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 8 {
		last := killWriter(t, path, 1+rng.IntN(40))
		s := newTestStore(t, path, 1<<20)
		got := loadAll(t, s, "v")
		latest := got["latest"]
		if latest == nil || latest.identity < uint64(last) {
			t.Fatalf("round %d: %v was saved and is missing: %+v", round, last, latest)
		}
		for i := range min(last, 50) {
			if !reflect.DeepEqual(got[strconv.Itoa(i)], sampleRecord(i)) {
				t.Fatalf("round %d: record %d differs from the saved one", round, i)
			}
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter starts a writer, kills it after a number of saves, and returns the number of the
// last one that it printed.
func killWriter(t *testing.T, path string, lines int) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestStoreWriter$") //nolint:gosec // this test itself, killed below
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
