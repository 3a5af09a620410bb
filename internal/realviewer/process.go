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

// process is a child in a process group of its own whose output goes to a file.
// One goroutine waits for it, and ends with it. Safe for concurrent use.
type process struct {
	cmd     *exec.Cmd
	logPath string
	done    chan struct{} // closed once the child has been waited for
	waitErr error         // how it ended; read after done
}

// startProcess starts the command; what it prints is appended to the file,
// except what the command already sends elsewhere.
func startProcess(cmd *exec.Cmd, logPath string) (*process, error) {
	output, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open output file: %w", err)
	}
	defer output.Close() //nolint:errcheck // the child holds its own descriptor
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

// exited says whether the child has ended, and how.
func (p *process) exited() (bool, error) {
	select {
	case <-p.done:
		return true, p.waitErr
	default:
		return false, nil
	}
}

// stop asks the group to end, waits for the child at most that long, and then
// kills what is left of the group. It may be called again.
func (p *process) stop(grace time.Duration) error {
	if over, _ := p.exited(); over {
		return nil
	}
	termErr := signalGroup(p.pid(), syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	}
	return errors.Join(termErr, p.kill())
}

// kill ends the whole group at once, and waits for the child.
func (p *process) kill() error {
	err := signalGroup(p.pid(), syscall.SIGKILL)
	if err != nil {
		return err
	}
	<-p.done
	return nil
}

// output returns the end of what the child has printed.
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

// outputTail is how much of a child's output an error shows.
const outputTail = 4 << 10

// lastBytes is the end of a longer output.
func lastBytes(text []byte) []byte { return text[max(0, len(text)-outputTail):] }

// environment is all that a child gets to see: nothing of the environment of
// the tests reaches it, and its times are UTC.
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
