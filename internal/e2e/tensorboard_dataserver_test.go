package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// startedByTensorBoard is the environment in which TensorBoard starts our binary as its data
// server.
func startedByTensorBoard(t *testing.T, variables ...string) []string {
	t.Helper()
	path, err := binary.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"TENSORBOARD_DATA_SERVER_BINARY=" + path}, variables...)
}

// TensorBoard sends no token, so it starts the binary, which sends it. The data must equal
// that of a TensorBoard of a server without authentication.
func TestTensorBoard_StartsTheBinaryForASecuredServer(t *testing.T) {
	t.Parallel()
	const token = "e2e-token-of-tensorboard-0123456789"
	cert, key := writeCertificate(t)
	tokens := filepath.Join(t.TempDir(), "tokens.txt")
	if err := os.WriteFile(tokens, []byte("read "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--tls-cert=" + cert, "--tls-key=" + key, "--auth-token-file=" + tokens}
	for _, version := range realviewer.Versions() {
		flags = append(flags, "--viewer="+viewerName(version)+"="+lab.Viewer(t, version).URL())
	}
	s := mustStart(t, flags...)
	environment := startedByTensorBoard(t, "RUNICORN_GRPC_TOKEN="+token, "RUNICORN_GRPC_TLS_CA="+cert)
	logdir := "--logdir=runicorn+tls://" + s.grpcAddr
	all := startTensorBoard(t, newestTensorBoard, "", environment, "--load_fast=true", logdir)
	open := startTensorBoard(t, newestTensorBoard, sharedServer(t).grpcAddr, nil)

	runs := all.runs(t)
	got, err := all.series(t, "loss")
	want, openErr := open.series(t, "loss")
	if err := errors.Join(err, openErr); err != nil {
		t.Fatal(err)
	}
	for _, version := range realviewer.Versions() {
		seeded := lab.Viewer(t, version).Manifest.Runs
		name := find(t, runs, viewerName(version)+"/", seeded[realviewer.KeyBasic].RunID)
		if len(want[name]) == 0 || !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %d points, want %d", name, len(got[name]), len(want[name]))
		}
		if version == realviewer.V053 {
			continue // it serves no images
		}
		name = find(t, runs, viewerName(version)+"/", seeded[realviewer.KeyImages].RunID)
		images, want := all.images(t, name), open.images(t, name)
		if len(want) < 2 || !slices.EqualFunc(images, want, bytes.Equal) {
			t.Errorf("%s: %d images, want %d", name, len(images), len(want))
		}
	}

	deep := lab.Viewer(t, realviewer.V072).Manifest.Runs[realviewer.KeyDeep]
	below := startTensorBoard(t, newestTensorBoard, "", environment, "--load_fast=true", logdir+"/v07/"+deep.Path)
	if runs := below.runs(t); len(runs) != 1 || !strings.HasSuffix(runs[0], deep.RunID) {
		t.Errorf("the runs at or below %s are %q", deep.Path, runs)
	}
	if strings.Contains(s.output(), token) {
		t.Error("the token is in the log")
	}
	wantEndWithParent(t, all)
}

// wantEndWithParent kills TensorBoard, and waits until the binary exits.
func wantEndWithParent(t *testing.T, b *tensorBoard) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "pgrep", "-P", strconv.Itoa(b.cmd.Process.Pid), "-f", "port-file").Output()
	if err != nil {
		t.Fatalf("TensorBoard has not started the binary: %v", err)
	}
	pid := strings.TrimSpace(string(out))
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for isRunning(pid) {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the binary is still running after TensorBoard was killed")
		}
	}
}

// isRunning reports whether a process exists and is not a zombie, which this process
// cannot reap.
func isRunning(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// The error message of the binary is in TensorBoard's log.
func TestTensorBoard_ReportsTheErrorOfTheBinary(t *testing.T) {
	t.Parallel()
	demo := mustStart(t, "--demo")
	tokens := filepath.Join(t.TempDir(), "tokens.txt")
	if err := os.WriteFile(tokens, []byte("read e2e-token-of-tensorboard-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secured := mustStart(t, "--demo", "--auth-token-file="+tokens)
	for _, tc := range []struct{ name, logdir, want string }{
		{"a folder", "/data/runs", "--logdir must be runicorn://HOST:PORT"},
		{"no server", "runicorn://" + freeAddr(t), "no runicorn-grpc server responds"},
		{"an unknown viewer", "runicorn://" + demo.grpcAddr + "/nosuch", "nosuch"},
		{"no token", "runicorn://" + secured.grpcAddr, "token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, tensorBoardPython(t, newestTensorBoard), "-m", "tensorboard.main",
				"--host=127.0.0.1", "--port=0", "--load_fast=true", "--logdir="+tc.logdir)
			cmd.Env = append(os.Environ(), startedByTensorBoard(t)...)
			out, err := cmd.CombinedOutput()
			if err == nil || ctx.Err() != nil || !strings.Contains(string(out), "runicorn-grpc: ") || !strings.Contains(string(out), tc.want) {
				t.Errorf("%v, want %q in\n%s", err, tc.want, out)
			}
		})
	}
}
