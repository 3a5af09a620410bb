package sshtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Agent is an SSH agent that serves its keys to anyone with its socket. It starts without
// keys.
type Agent struct {
	// Socket is the value for SSH_AUTH_SOCK.
	Socket string

	dir   string
	agent *exec.Cmd
	ended chan struct{} // closed when the process was waited for
}

// StartAgent starts an agent as the current user. The caller closes it.
func StartAgent(ctx context.Context) (*Agent, error) {
	dir, err := os.MkdirTemp("", "agent-") // the path of a socket must be short
	if err != nil {
		return nil, err
	}
	a := &Agent{Socket: filepath.Join(dir, "socket"), dir: dir, ended: make(chan struct{})}
	a.agent = exec.Command("ssh-agent", "-D", "-a", a.Socket) //nolint:noctx // ended by Close
	a.agent.SysProcAttr = attributes()
	if err := a.agent.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start ssh-agent: %w", err), os.RemoveAll(dir))
	}
	go func() {
		defer close(a.ended)
		_ = a.agent.Wait() // it ends by a signal
	}()
	if err := a.await(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// await waits until the agent listens.
func (a *Agent) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", a.Socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-a.ended:
			return errors.New("ssh-agent exited immediately")
		case <-ctx.Done():
			return fmt.Errorf("ssh-agent does not answer: %w", err)
		}
	}
}

// Add adds an unencrypted key to the agent.
func (a *Agent) Add(ctx context.Context, key string) error { return a.report(ctx, "-q", key) }

// Clear removes all keys.
func (a *Agent) Clear(ctx context.Context) error { return a.report(ctx, "-q", "-D") }

func (a *Agent) report(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "ssh-add", args...)
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+a.Socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-add: %w: %s", err, out)
	}
	return nil
}

// Close ends the agent.
func (a *Agent) Close() error {
	err := a.agent.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-a.ended
	return errors.Join(err, os.RemoveAll(a.dir))
}
