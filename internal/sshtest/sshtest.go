// Package sshtest runs private OpenSSH servers on loopback, for tests of what Viewers do
// over SSH. Each has its own ports, host key and log and, if the tests run as root, its own
// account, so that it cannot be mistaken for a server of the machine and leaves nothing
// behind.
//
// Require skips or fails a test if there is no sshd. Start creates the account
// (account.go), the keys and the configuration (config.go) and a Python that the account
// can use (python.go), and runs sshd. Kill and Restart simulate an outage; RefusedPasswords
// counts refused logins in sshd's log. An Agent (agent.go) is an SSH agent.
package sshtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// ModeVariable is the environment variable that says what a missing sshd means:
// "required" makes it a failure, "off" skips the tests.
const ModeVariable = "RUNICORN_E2E"

// sshdPath is Debian's path; sshd must be started by an absolute path.
const sshdPath = "/usr/sbin/sshd"

// Options configures a server.
type Options struct {
	// Python is the interpreter of a virtual environment whose packages
	// commands on the server shall have; empty for none.
	Python string
}

// Server is an SSH server on 127.0.0.1. Safe for concurrent use.
type Server struct {
	// Port has the Python of the Options on its PATH; BarePort does not.
	Port, BarePort int
	User           string
	// Password is the user's; it is empty if the tests do not run as root: then only keys
	// are accepted.
	Password string
	// Key and LockedKey are files with private keys of the user; LockedKey is encrypted
	// with Passphrase. ForeignKey is not accepted.
	Key, LockedKey, ForeignKey string
	Passphrase                 string
	// Home is the user's home directory, Dir the server's directory.
	Home, Dir string

	account *account
	mu      sync.Mutex
	sshd    *exec.Cmd
	ended   chan struct{} // closed when sshd was waited for
}

// announceSkip prints once per process why tests are skipped: `go test` hides the reasons.
var announceSkip = sync.OnceFunc(func() {
	fmt.Fprintf(os.Stderr, "\n*** SKIPPED: tests over SSH did NOT run (no %s; on Debian: apt-get install openssh-server); %s=required makes this a failure ***\n\n",
		sshdPath, ModeVariable)
})

// Require skips a test if there is no sshd, or fails it, depending on ModeVariable.
func Require(tb testing.TB) {
	tb.Helper()
	_, err := os.Stat(sshdPath)
	mode := os.Getenv(ModeVariable)
	switch {
	case mode == "off":
		tb.Skipf("turned off by %s", ModeVariable)
	case err == nil && supported:
	case mode == "required":
		tb.Fatalf("no SSH server here: %v", err)
	default:
		announceSkip()
		tb.Skipf("no SSH server here: %v", err)
	}
}

// Start starts a server. The context bounds the start; the caller ends the
// server with Close.
func Start(ctx context.Context, options Options) (*Server, error) {
	// Not below /tmp, because sessions of the server have a private /tmp.
	dir, err := os.MkdirTemp("/var/tmp", "sshtest-")
	if err != nil {
		return nil, fmt.Errorf("start an SSH server: %w", err)
	}
	s := &Server{Dir: dir, Home: filepath.Join(dir, "home"), Passphrase: newSecret()}
	if err := s.prepare(ctx, options); err != nil {
		return nil, errors.Join(fmt.Errorf("start an SSH server: %w", err), s.Close())
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare creates everything that sshd needs.
func (s *Server) prepare(ctx context.Context, options Options) error {
	if err := errors.Join(os.Chmod(s.Dir, 0o755), os.Mkdir(s.Home, 0o755)); err != nil {
		return err
	}
	var err error
	if s.account, err = newAccount(ctx, s.Home); err != nil {
		return err
	}
	s.User, s.Password = s.account.name, s.account.password
	if err := s.makeKeys(ctx); err != nil {
		return err
	}
	paths := "/usr/local/bin:/usr/bin:/bin"
	bare := paths
	if options.Python != "" {
		bin, err := s.account.python(ctx, s.Dir, options.Python)
		if err != nil {
			return err
		}
		paths = bin + ":" + paths
	}
	if s.Port, s.BarePort, err = freePorts(ctx); err != nil {
		return err
	}
	return s.configure(paths, bare)
}

// Restart starts sshd after Kill.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := s.command()
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start sshd: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it ends by a signal
	}()
	s.sshd, s.ended = cmd, ended
	return s.await(ctx)
}

// await waits until sshd sends its banner. s.mu must be held.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if greets(ctx, s.Port) {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("sshd exited immediately:\n%s", s.Log())
		case <-ctx.Done():
			return fmt.Errorf("sshd does not answer: %w\n%s", ctx.Err(), s.Log())
		}
	}
}

func greets(ctx context.Context, port int) bool {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	defer conn.Close() //nolint:errcheck // only read
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	greeting := make([]byte, 4)
	_, err = conn.Read(greeting)
	return err == nil && string(greeting) == "SSH-"
}

// Kill ends sshd and all its sessions at once, as an outage does. Background processes
// started by sessions survive.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sshd == nil {
		return nil
	}
	err := killTree(s.sshd.Process.Pid)
	<-s.ended
	s.sshd = nil
	return err
}

// Close ends sshd and the account's processes, and removes the account and the directory.
func (s *Server) Close() error {
	err := s.Kill()
	if s.account != nil {
		err = errors.Join(err, s.account.close(s.Dir))
	}
	return errors.Join(err, os.RemoveAll(s.Dir))
}

// Log returns the log of sshd.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.Dir, "sshd.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// RefusedPasswords returns the number of passwords that sshd has refused.
func (s *Server) RefusedPasswords() int { return strings.Count(s.Log(), "Failed password for ") }

// newSecret returns a password that cannot occur in a log by chance.
func newSecret() string { return "canary-" + rand.Text() }
