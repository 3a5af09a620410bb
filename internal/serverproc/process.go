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
	tailSize   = 8 << 10 // of the log, where a test has failed
)

// Process is a running server.
type Process struct {
	// GRPCAddr and HTTPAddr are its ports on loopback, which the system chose.
	GRPCAddr, HTTPAddr string

	cmd   *exec.Cmd
	log   string        // the path of what it wrote
	ended chan struct{} // closed when the process has ended
	err   error         // how it ended; read it after ended
}

// Start starts the server on free ports and waits until it serves. The caller
// ends it with Stop; ctx is for the start only.
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
		return nil, fmt.Errorf("the server ended at once: %w\n%s", p.err, p.Output())
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("wait for the server: %w\n%s", ctx.Err(), p.Output()), p.Stop())
	}
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop ends the process as an operator does, by SIGTERM, and wants exit code 0.
// A process that does not end in time is killed, which is an error.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	<-p.ended
	return p.err
}

// Kill ends the process as a crash does, by SIGKILL, and waits for its end.
func (p *Process) Kill() error {
	err := p.cmd.Process.Kill()
	<-p.ended
	return err
}

// Output is the end of what the server wrote.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-tailSize):]))
}

// LogPath is the file of all that the server wrote. It goes with the binary.
func (p *Process) LogPath() string { return p.log }

// greeting reads what the server says to people on standard output: its
// listeners are open then. All of it goes to the log.
type greeting struct {
	log        io.Writer
	text       []byte
	heard      chan struct{} // closed when both addresses are known
	grpc, http string
}

var addresses = regexp.MustCompile(`(?m)^gRPC +(\S+)\nHTTP +https?://(\S+)/\n`)

// Write is called by one goroutine, of exec.
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
