package e2e

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startedByTensorBoard is the environment in which TensorBoard starts our binary.
func startedByTensorBoard(t *testing.T, variables ...string) []string {
	t.Helper()
	path, err := binary.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"TENSORBOARD_DATA_SERVER_BINARY=" + path}, variables...)
}

// TestTensorBoard_StartsTheBinaryForASecuredServer: TensorBoard sends no token, so it starts
// the binary, which does.
func TestTensorBoard_StartsTheBinaryForASecuredServer(t *testing.T) {
	t.Parallel()
	const token = "e2e-token-of-tensorboard-0123456789"
	cert, key := writeCertificate(t)
	tokens := filepath.Join(t.TempDir(), "tokens.txt")
	if err := os.WriteFile(tokens, []byte("read "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, "--demo", "--tls-cert="+cert, "--tls-key="+key, "--auth-token-file="+tokens)
	environment := startedByTensorBoard(t, "RUNICORN_GRPC_TOKEN="+token, "RUNICORN_GRPC_TLS_CA="+cert)

	all := startTensorBoard(t, newestTensorBoard, "", environment, "--load_fast=true", "--logdir=runicorn+tls://"+s.grpcAddr)
	one := startTensorBoard(t, newestTensorBoard, "", environment, "--load_fast=true", "--logdir=runicorn+tls://"+s.grpcAddr+"/legacy")
	runs, ofOne := all.runs(t), one.runs(t)
	if len(ofOne) == 0 || len(runs) <= len(ofOne) {
		t.Errorf("%d runs, %d of one viewer", len(runs), len(ofOne))
	}
	if curves, err := all.series(t, "train/loss"); err != nil || len(curves) == 0 {
		t.Errorf("%d curves, %v", len(curves), err)
	}
	var images []struct{ Query string }
	all.get(t, "/data/plugin/images/images", url.Values{"run": {imageRun(t, all)}, "tag": {"samples"}, "sample": {"0"}}, &images)
	query, err := url.ParseQuery(images[0].Query)
	if err != nil {
		t.Fatal(err)
	}
	var content []byte
	all.get(t, "/data/plugin/images/individualImage", query, &content)
	if len(content) == 0 {
		t.Error("an image is empty")
	}
	wantEndWithParent(t, all)
}

// imageRun is a run that has images.
func imageRun(t *testing.T, b *tensorBoard) string {
	t.Helper()
	var tags map[string]map[string]any
	b.get(t, "/data/plugin/images/tags", nil, &tags)
	for run, of := range tags {
		if of["samples"] != nil {
			return run
		}
	}
	t.Fatalf("no run has images: %v", tags)
	return ""
}

// wantEndWithParent kills TensorBoard, and waits for the end of the binary.
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
			t.Fatal("the binary runs on after TensorBoard was killed")
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

// TestTensorBoard_ReportsWhyTheBinaryDoesNotServe: the sentence is in TensorBoard's log.
func TestTensorBoard_ReportsWhyTheBinaryDoesNotServe(t *testing.T) {
	t.Parallel()
	demo := mustStart(t, "--demo")
	tokens := filepath.Join(t.TempDir(), "tokens.txt")
	if err := os.WriteFile(tokens, []byte("read e2e-token-of-tensorboard-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secured := mustStart(t, "--demo", "--auth-token-file="+tokens)
	for _, tc := range []struct{ name, logdir, want string }{
		{"a folder", "/data/runs", "--logdir must be runicorn://HOST:PORT"},
		{"nobody listens", "runicorn://" + freeAddr(t), "no runicorn-grpc server answers"},
		{"no such viewer", "runicorn://" + demo.grpcAddr + "/nosuch", "nosuch"},
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
