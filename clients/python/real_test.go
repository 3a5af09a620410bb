package pythonclient

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/sshtest"
)

// TestInFrontOfRealViewers reads the seeded data of real Viewers.
func TestInFrontOfRealViewers(t *testing.T) {
	lacking := map[realviewer.Version][]string{
		realviewer.V053: {"assets", "images", "storage_stats", "host_keys"},
		realviewer.V060: {"artifacts"},
		realviewer.V072: {"artifacts"},
	}
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, version)
			runs := l.Seeded.Manifest.Runs
			var answer struct{ Lacking []string }
			l.python(t, &answer, "lists")
			if !slices.Equal(answer.Lacking, lacking[version]) {
				t.Errorf("it lacks %q, want %q", answer.Lacking, lacking[version])
			}
			for _, key := range []string{realviewer.KeyBasic, realviewer.KeyNaN, realviewer.KeyRewrites, realviewer.KeyBackfill, realviewer.KeyCells, realviewer.KeySparse} {
				if run, ok := runs[key]; ok && version.HasPaths() {
					t.Run("history of "+key, func(t *testing.T) { l.checkHistory(t, run) })
				}
			}
			if version.HasPaths() {
				t.Run("download", func(t *testing.T) { l.checkDownload(t, runs[realviewer.KeyBig]) })
			}
			t.Run("export", func(t *testing.T) { l.checkExport(t, runs[realviewer.KeyBig]) })
			t.Run("ssh", func(t *testing.T) { l.checkSSH(t) })
		})
	}
}

// python runs a command of real.py and decodes its output, one JSON document, into
// answer; if answer is nil, it returns the output.
func (l *lab) python(t *testing.T, answer any, args ...string) []byte {
	t.Helper()
	args = append([]string{"tests/real.py", args[0], l.Relay.Addr()}, args[1:]...)
	cmd := exec.CommandContext(t.Context(), pairs[1].python(t), args...)
	cmd.Env = environment(t, "")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args[:2], err, stderr.String()) // later arguments may be secrets
	}
	if answer != nil {
		if err := json.Unmarshal(out, answer); err != nil {
			t.Fatalf("%v printed %q: %v", args[:2], out, err)
		}
	}
	return out
}

// checkHistory compares a history with the event file.
func (l *lab) checkHistory(t *testing.T, run realviewer.Run) {
	t.Helper()
	var got []printed
	for text := range bytes.Lines(l.python(t, nil, "history", run.RunID)) {
		var line printed
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(logged(t, run.EventFile), byMetric(got)); diff != "" {
		t.Errorf("the event file and the history (-file +history):\n%s", diff)
	}
}

// checkDownload downloads a large file while its connections are reset.
func (l *lab) checkDownload(t *testing.T, run realviewer.Run) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l.whileResetting(t, "download", run.RunID, path)
	want, errFile := os.ReadFile(run.EventFile)
	got, err := os.ReadFile(path)
	if err := errors.Join(errFile, err); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%d bytes were downloaded, %d are there, and they differ", len(got), len(want))
	}
}

// checkExport exports a run twice, once while connections are reset.
func (l *lab) checkExport(t *testing.T, run realviewer.Run) {
	t.Helper()
	dir := t.TempDir()
	var direct struct{ SHA256 string }
	l.python(t, &direct, "export", run.RunID, filepath.Join(dir, "direct"))
	broken := l.whileResetting(t, "export", run.RunID, filepath.Join(dir, "broken"))
	content, err := os.ReadFile(filepath.Join(dir, "broken"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); got != direct.SHA256 || got != broken {
		t.Errorf("the file that was resumed has SHA-256 %s, and %s was reported; the other one has %s", got, broken, direct.SHA256)
	}
}

// whileResetting saves a file while its connections are reset.
func (l *lab) whileResetting(t *testing.T, args ...string) string {
	t.Helper()
	l.Relay.Cut(60_000, 90_000, 70_000)
	var saved struct{ SHA256 string }
	l.python(t, &saved, args...)
	if n := l.Relay.CutsLeft(); n > 0 {
		t.Errorf("%d connections were not made, so the file did not break so often", n)
	}
	return saved.SHA256
}

// checkSSH connects to an SSH server whose key the Viewer does not know.
func (l *lab) checkSSH(t *testing.T) {
	t.Helper()
	sshtest.Require(t)
	sshd, err := sshtest.Start(t.Context(), sshtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sshd.Close(); err != nil {
			t.Errorf("close the SSH server: %v", err)
		}
	})
	if sshd.Password == "" {
		t.Skip("without root there is no account with a password")
	}
	var answer struct{ Known bool }
	l.python(t, &answer, "ssh", strconv.Itoa(sshd.Port), sshd.User, sshd.Password)
	if answer.Known != (l.Seeded.Version() == realviewer.V053) { // 0.5.3 accepts any key
		t.Errorf("the host key is known: %v", answer.Known)
	}
}
