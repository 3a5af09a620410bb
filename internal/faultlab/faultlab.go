// Package faultlab runs a live training run on a real Viewer with a proxy, a server and a
// relay between it and a client, and breaks each part while clients follow the run. Tests
// use it to check that every client receives each point exactly once.
package faultlab

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/faultproxy"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// twoHeartbeats is more than two heartbeats of one second.
const twoHeartbeats = 2500 * time.Millisecond

// Lab is a Viewer, a proxy in front of it, a server, and a relay in front of that.
type Lab struct {
	Seeded *realviewer.Seeded
	Relay  *faultproxy.Relay // where clients connect
	Run    realviewer.Run
	Step   int64 // number of lines that were logged

	t      *testing.T
	binary *serverproc.Binary
	proxy  *faultproxy.Proxy
	server *serverproc.Process
}

// New starts a lab that ends with the test.
func New(t *testing.T, binary *serverproc.Binary, version realviewer.Version) *Lab {
	t.Helper()
	seeded, err := realviewer.StartSeeded(t.Context(), realviewer.Require(t, version), nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{t: t, binary: binary, Seeded: seeded, Run: seeded.Manifest.Runs[realviewer.KeyHeld]}
	t.Cleanup(func() {
		if err := seeded.Close(); err != nil {
			t.Errorf("close the Viewer: %v", err)
		}
	})
	if l.proxy, err = faultproxy.New(seeded.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.proxy.Close(); err != nil {
			t.Errorf("close the proxy: %v", err)
		}
	})
	if l.Relay, err = faultproxy.NewRelay(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Relay.Close(); err != nil {
			t.Errorf("close the relay: %v", err)
		}
	})
	l.startServer()
	t.Cleanup(func() {
		if err := l.server.Stop(); err != nil {
			t.Errorf("stop the server: %v\n%s", err, l.server.Output())
		}
	})
	return l
}

// startServer starts a server that replaces the previous one.
func (l *Lab) startServer() {
	l.t.Helper()
	server, err := l.binary.Start(l.t.Context(), "--viewer="+l.proxy.URL(), "--end-grace=1s", "--viewer-share=1")
	if err != nil {
		l.t.Fatal(err)
	}
	l.server = server
	l.Relay.Aim(server.GRPCAddr)
}

// Log logs lines to the run. Every fifth repeats a step; some values are NaN or infinite if
// the Viewer can transmit them.
func (l *Lab) Log(lines int) {
	l.t.Helper()
	for range lines {
		l.Step++
		special := []string{"NaN", "Infinity", "-Infinity", fmt.Sprint(1 / float64(l.Step))}[l.Step%4]
		step := l.Step - l.Step/5
		if !l.Seeded.Version().HasPaths() {
			special, step = fmt.Sprint(1/float64(l.Step)), l.Step // a merged table has no other values
		}
		cells := fmt.Sprintf(`{"loss": %s, "count": %d, "λ/学习率": 1e-%d, "ok": true}`, special, l.Step, l.Step)
		if err := l.Seeded.Trainer.Log(l.t.Context(), realviewer.KeyHeld, step, cells); err != nil {
			l.t.Fatal(err)
		}
		if err := l.Seeded.Trainer.LogText(l.t.Context(), realviewer.KeyHeld, fmt.Sprintf("line %d ü", l.Step)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// Fault is one fault and how to inject it.
type Fault struct {
	Name string
	Do   func(l *Lab)
}

// Faults returns the faults, to be injected one after another while clients with a
// heartbeat of one second follow the run. After each of them everything works again.
func Faults() []Fault { return faults }

var faults = []Fault{
	{"the proxy before the server resets", func(l *Lab) { l.Relay.Reset() }},
	{"the Viewer is killed", func(l *Lab) {
		l.must(l.Seeded.Kill())
		l.Log(2)
		l.must(l.Seeded.Restart(l.t.Context()))
	}},
	{"the proxy before the Viewer cuts answers and is down", func(l *Lab) {
		l.proxy.Add(&faultproxy.Rule{Times: 3, ResetAfter: 10})
		l.Log(2)
		l.must(l.proxy.Down())
		l.Log(2)
		l.must(l.proxy.Up())
	}},
	{"the server is killed and replaced", func(l *Lab) {
		l.must(syscall.Kill(l.server.Pid(), syscall.SIGKILL))
		l.Log(2)
		_ = l.server.Stop() // it was killed
		l.startServer()
	}},
	{"the server drains and is replaced", func(l *Lab) {
		before := l.server
		l.startServer()
		l.must(before.Stop())
	}},
	{"the server is frozen for longer than two heartbeats", func(l *Lab) {
		l.must(syscall.Kill(l.server.Pid(), syscall.SIGSTOP))
		select { // the fault itself: the duration of the silence
		case <-time.After(twoHeartbeats):
		case <-l.t.Context().Done():
		}
		l.must(syscall.Kill(l.server.Pid(), syscall.SIGCONT))
	}},
	{"a frozen server is replaced", func(l *Lab) {
		frozen := l.server
		l.must(syscall.Kill(frozen.Pid(), syscall.SIGSTOP))
		l.startServer()
		l.Log(2)
		l.t.Cleanup(func() {
			_ = syscall.Kill(frozen.Pid(), syscall.SIGCONT)
			if err := frozen.Stop(); err != nil {
				l.t.Errorf("stop the frozen server: %v", err)
			}
		})
	}},
}

// Finish ends the run.
func (l *Lab) Finish() {
	l.t.Helper()
	l.must(l.Seeded.Trainer.Finish(l.t.Context(), realviewer.KeyHeld, "finished"))
}

func (l *Lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}
