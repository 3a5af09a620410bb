//go:build !unix

package realviewer

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Without process groups a Viewer could outlive its test, so Ensure returns ErrUnavailable
// here and the rest is unreachable.
const (
	supported    = false
	systemPython = "python"
	scriptDir    = "Scripts"
	exeSuffix    = ".exe"
)

func childAttributes() *syscall.SysProcAttr { return nil }

func signalGroup(pid int, _ syscall.Signal) error {
	return fmt.Errorf("signal group %d: %w", pid, errors.ErrUnsupported)
}

func tryLock(*os.File) error { return errors.ErrUnsupported }

// CPUTime is not supported here.
func CPUTime(pid int) (time.Duration, error) {
	return 0, fmt.Errorf("processor time of %d: %w", pid, errors.ErrUnsupported)
}
