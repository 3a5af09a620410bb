package realviewer

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestViewer_RestartKeepsPortAndRuns(t *testing.T) {
	for _, version := range Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			install := Require(t, version)
			storage := t.TempDir()
			spec := RunSpec{
				Project: "p", Name: "n", Status: "running", PID: os.Getpid(), Alias: "alias", Tags: []string{"tag"},
				Lines: Curve(time.Unix(1_795_446_000, 0), 100, "loss", "train/accuracy"),
			}
			run, err := WriteRun(storage, version, spec)
			if err != nil {
				t.Fatal(err)
			}
			v := MustStart(t, install, Options{Storage: storage})
			url, pid := v.URL(), v.PID()
			if err := v.AwaitRuns(t.Context(), run.RunID); err != nil {
				t.Fatal(err)
			}
			if err := v.Stop(); err != nil {
				t.Fatal(err)
			}
			expectGone(t, v, pid)
			if err := v.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if v.URL() != url || v.PID() == pid {
				t.Errorf("restarted at %s as %d, was at %s as %d", v.URL(), v.PID(), url, pid)
			}
			var runs []struct{ ID, Status string }
			if err := v.AwaitRuns(t.Context(), run.RunID); err != nil {
				t.Fatal(err)
			}
			if err := v.getJSON(t.Context(), "/api/runs", &runs); err != nil {
				t.Fatal(err)
			}
			if len(runs) != 1 || runs[0].Status != "running" {
				t.Errorf("the runs are %v, want one that is running", runs)
			}
			pid = v.PID()
			if err := v.Kill(); err != nil {
				t.Fatal(err)
			}
			expectGone(t, v, pid)
		})
	}
}

func expectGone(t *testing.T, v *Viewer, pid int) {
	t.Helper()
	if processExists(pid) {
		t.Errorf("process %d is still there", pid)
	}
	if err := v.getJSON(t.Context(), "/api/health", new(any)); err == nil {
		t.Error("a stopped Viewer answers")
	}
}

// processExists reports whether a process exists and is not a zombie.
func processExists(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestViewer_ReportsCPUTime(t *testing.T) {
	v := lab.Viewer(t, V060)
	cpu, err := v.CPUTime()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || cpu <= 0 || cpu > time.Hour {
		t.Errorf("processor time is %v, %v", cpu, err)
	}
}

func TestStart_ReportsWhyAViewerEnded(t *testing.T) {
	install := Require(t, V053)
	_, err := Start(t.Context(), install, Options{Args: []string{"--no-such-flag"}})
	if !errors.Is(err, errExited) || !strings.Contains(err.Error(), "unrecognized arguments: --no-such-flag") {
		t.Errorf("the error is %v, want the Viewer's own words", err)
	}
}

func TestStart_DetectsATakenPort(t *testing.T) {
	install := Require(t, V053)
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	port, err := netip.ParseAddrPort(stranger.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), install, Options{Port: int(port.Port())}); !errors.Is(err, errPortTaken) {
		t.Errorf("the error is %v, want %v", err, errPortTaken)
	}
}

// parentVariable makes the test binary a process that starts a Viewer and waits.
const parentVariable = "REALVIEWER_TEST_PARENT"

func TestStart_ViewerEndsWithItsParent(t *testing.T) {
	if os.Getenv(parentVariable) != "" {
		v := MustStart(t, Require(t, V053), Options{Storage: os.Getenv(parentVariable)})
		if _, err := fmt.Fprintln(os.Stdout, "viewer", v.PID()); err != nil {
			t.Fatal(err)
		}
		<-v.process().done // until this process is killed
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties a child's life to its parent's")
	}
	Require(t, V053)
	parent := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	dir := t.TempDir() // removes what the killed process cannot remove
	parent.Env = append(os.Environ(), "TMPDIR="+dir, parentVariable+"="+filepath.Join(dir, "storage"))
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(stdout); pid == 0 && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "viewer "); ok {
			pid, _ = strconv.Atoi(text)
		}
	}
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	if pid == 0 {
		t.Fatal("the parent started no Viewer")
	}
	if err := retry(t.Context(), func() error {
		if processExists(pid) {
			return fmt.Errorf("Viewer %d outlives its parent", pid)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
