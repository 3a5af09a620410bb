//go:build unix

package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
)

// spawn runs the server as a separate process, and returns it with its gRPC address.
func spawn(t *testing.T, args ...string) (cmd *exec.Cmd, grpcAddr string) {
	t.Helper()
	args = append([]string{"--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0"}, args...)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, os.Args[0], args...) //nolint:gosec // this very binary
	cmd.Env = append(os.Environ(), beMain+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if addr, found := strings.CutPrefix(lines.Text(), "gRPC"); found {
			return cmd, strings.TrimSpace(addr)
		}
	}
	t.Fatalf("the process printed no address: %v", cmd.Wait())
	return nil, ""
}

func TestTheFirstSignalDrainsAndTheSecondEndsImmediately(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		drainTimeout string
		second       bool
	}{
		{"one signal: the drain ends with code 0, in its time", "200ms", false},
		{"two signals: the second does not wait for the drain", "1h", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cmd, addr := spawn(t, "--drain-timeout="+tc.drainTimeout)
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, conn)
			// A stream that only the client would end.
			held, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := watch.Recv(); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if got, err := watch.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
				t.Fatalf("after the first signal: %v, %v", got, err)
			}
			if tc.second {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
			err = cmd.Wait()
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			if ended := cmd.ProcessState.ExitCode() == exitOK; ended == tc.second {
				t.Errorf("the process ended with %v", err)
			}
			if _, err := held.Recv(); err == nil {
				t.Error("the stream continues")
			}
		})
	}
}
