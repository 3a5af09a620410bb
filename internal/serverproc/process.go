package serverproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"time"
)

const (
	startLimit = 30 * time.Second
	stopLimit  = 30 * time.Second
	tailSize   = 8 << 10 // how much of the log Output returns, in bytes
)

// Process is a running server.
type Process struct {
	// GRPCAddr and HTTPAddr are its ports on loopback, which the system chose.
	GRPCAddr, HTTPAddr string

	cmd   *exec.Cmd
	log   string        // path of the file with its output
	ended chan struct{} // closed when the process has ended
	err   error         // how it ended; read it after ended
}

// Start starts the server on free ports and waits until it serves. The caller must call
// Stop; ctx applies to the start only.
func (b *Binary) Start(ctx context.Context, flags ...string) (*Process, error) {
	return b.StartIn(ctx, "", flags...)
}

// StartIn is Start in a working directory, for flags that name files there.
func (b *Binary) StartIn(ctx context.Context, workDir string, flags ...string) (*Process, error) {
	path, err := b.Path(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := b.Dir()
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp(dir, "log-")
	if err != nil {
		return nil, err
	}
	p := &Process{log: log.Name(), ended: make(chan struct{})}
	greeting := &greeting{log: log, heard: make(chan struct{})}
	p.cmd = exec.Command(path, append([]string{"--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--state-dir="}, flags...)...) //nolint:noctx // ended by Stop
	p.cmd.Dir = workDir
	p.cmd.Stdout, p.cmd.Stderr = greeting, log
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), log.Close())
	}
	go func() { // ends with the process
		defer close(p.ended)
		p.err = errors.Join(p.cmd.Wait(), log.Close())
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-greeting.heard:
		p.GRPCAddr, p.HTTPAddr = greeting.grpc, greeting.http
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("the server ended during its start: %w\n%s", p.err, p.Output())
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("wait for the server: %w\n%s", ctx.Err(), p.Output()), p.Stop())
	}
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop ends the process by SIGTERM, and returns an error unless the exit code is 0. A
// process that does not end in time is killed, which is also an error.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	<-p.ended
	return p.err
}

// Kill kills the process, as a crash would end it, and waits for it.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	return nil
}

// Output returns the end of the log.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-tailSize):]))
}

// LogPath returns the path of the log, which Binary.Close removes.
func (p *Process) LogPath() string { return p.log }

// greeting parses the addresses that the server prints on standard output when its
// listeners are open. All output goes to the log.
type greeting struct {
	log        io.Writer
	text       []byte
	heard      chan struct{} // closed when both addresses are known
	grpc, http string
}

var addresses = regexp.MustCompile(`(?m)^gRPC +(\S+)\nHTTP +https?://(\S+)/\n`)

// Write is called by one goroutine of package exec.
func (g *greeting) Write(part []byte) (int, error) {
	select {
	case <-g.heard:
	default:
		g.text = append(g.text, part...)
		if found := addresses.FindSubmatch(g.text); found != nil {
			g.grpc, g.http = string(found[1]), string(found[2])
			close(g.heard)
		}
	}
	return g.log.Write(part)
}
