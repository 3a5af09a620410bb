package auditlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fullDisk returns a log whose file is on a full disk.
func fullDisk(t *testing.T) (path string, l *Log, states *[]bool) {
	t.Helper()
	path, states = filepath.Join(t.TempDir(), "log"), new([]bool)
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Skip(err)
	}
	l, err := Open(path, func(err error) { *states = append(*states, err == nil) })
	if err != nil {
		t.Skip(err)
	}
	return path, l, states
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLinesAreKeptWhileTheDiskIsFull(t *testing.T) {
	path, l, states := fullDisk(t)
	l.Append([]byte("one\n"))
	l.Append([]byte("two\n"))
	if lost, err := l.State(); lost != 0 || err == nil {
		t.Errorf("%d lost, %v", lost, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.Append([]byte("three\n"))
	if got := read(t, path); got != "one\ntwo\nthree\n" {
		t.Errorf("got %q", got)
	}
	if len(*states) != 2 || (*states)[0] || !(*states)[1] {
		t.Errorf("states %v", *states)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestLinesBeyondTheBacklogAreLostAndCounted(t *testing.T) {
	_, l, _ := fullDisk(t)
	line := []byte(strings.Repeat("x", maxBacklog/2) + "\n")
	for range 3 {
		l.Append(line)
	}
	if lost, _ := l.State(); lost != 2 {
		t.Errorf("%d lost", lost)
	}
	if err := l.Close(); err == nil {
		t.Error("lines that were never written are no error")
	}
}

// TestALineThatWasWrittenInPartIsCompleteInTheNextFile has a line cut by a disk that was full in its
// middle, and the file moved away.
func TestALineThatWasWrittenInPartIsCompleteInTheNextFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(path, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	l.backlog, l.written = []byte("a whole line\n"), 2
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Append([]byte("another\n"))
	if got := read(t, path); got != "a whole line\nanother\n" {
		t.Errorf("got %q", got)
	}
	l.backlog, l.written = []byte("the rest\n"), 4
	l.Append([]byte("more\n"))
	if got := read(t, path); !strings.HasSuffix(got, "another\nrest\nmore\n") {
		t.Errorf("got %q", got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
