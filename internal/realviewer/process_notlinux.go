//go:build unix && !linux

package realviewer

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// childAttributes makes a child the leader of its own process group. Only Linux can also
// kill it when this process dies; elsewhere tests must clean up.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// CPUTime is not supported here.
func CPUTime(pid int) (time.Duration, error) {
	return 0, fmt.Errorf("processor time of %d: %w", pid, errors.ErrUnsupported)
}
