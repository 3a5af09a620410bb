package realviewer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a child in its own process group, with output to a file. One goroutine waits
// for it. It is safe for concurrent use.
type process struct {
	cmd     *exec.Cmd
	logPath string
	done    chan struct{} // closed when the child was waited for
	waitErr error         // of Wait; read after done
}

// startProcess starts the command and appends its output to the file, except streams that
// the command redirects.
func startProcess(cmd *exec.Cmd, logPath string) (*process, error) {
	output, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open output file: %w", err)
	}
	defer output.Close() //nolint:errcheck // the child has its own descriptor
	if cmd.Stdout == nil {
		cmd.Stdout = output
	}
	cmd.Stderr = output
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	p := &process{cmd: cmd, logPath: logPath, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.waitErr = cmd.Wait()
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// exited reports whether the child has ended, and its error.
func (p *process) exited() (bool, error) {
	select {
	case <-p.done:
		return true, p.waitErr
	default:
		return false, nil
	}
}

// stop terminates the group, waits for the child for at most grace, and then kills the rest
// of the group. It may be called again.
func (p *process) stop(grace time.Duration) error {
	if over, _ := p.exited(); over {
		return nil
	}
	termErr := signalGroup(p.pid(), syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
	}
	return errors.Join(termErr, p.kill())
}

// kill kills the whole group, and waits for the child.
func (p *process) kill() error {
	err := signalGroup(p.pid(), syscall.SIGKILL)
	if err != nil {
		return err
	}
	<-p.done
	return nil
}

// output returns the end of the child's output.
func (p *process) output() string {
	output, err := os.Open(p.logPath)
	if err != nil {
		return fmt.Sprintf("(no output: %v)", err)
	}
	defer output.Close() //nolint:errcheck // only read
	if info, err := output.Stat(); err == nil && info.Size() > outputTail {
		if _, err := output.Seek(-outputTail, io.SeekEnd); err != nil {
			return fmt.Sprintf("(no output: %v)", err)
		}
	}
	text, err := io.ReadAll(output)
	if err != nil {
		return fmt.Sprintf("%s(cut: %v)", text, err)
	}
	return string(text)
}

// outputTail is how many bytes of a child's output an error quotes.
const outputTail = 4 << 10

// lastBytes returns the last outputTail bytes.
func lastBytes(text []byte) []byte { return text[max(0, len(text)-outputTail):] }

// environment returns a child's complete environment: it inherits nothing from the tests,
// and its time zone is UTC.
func environment(home, storage string) ([]string, error) {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, fmt.Errorf("make home: %w", err)
	}
	return []string{
		"HOME=" + home,
		"XDG_CONFIG_HOME=" + filepath.Join(home, ".config"),
		"RUNICORN_DIR=" + storage,
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"LANG=C.UTF-8",
		"TZ=UTC",
		"PYTHONUNBUFFERED=1",
		"PYTHONDONTWRITEBYTECODE=1",
	}, nil
}
