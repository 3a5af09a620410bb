//go:build unix

package realviewer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Where a virtual environment keeps its programs on this system.
const (
	supported    = true
	systemPython = "python3"
	scriptDir    = "bin"
	exeSuffix    = ""
)

// signalGroup sends a signal to the process and to all that it started. Every
// process here leads a group of its own. A group that is gone is no error.
func signalGroup(pid int, signal syscall.Signal) error {
	if err := syscall.Kill(-pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to group %d: %w", signal, pid, err)
	}
	return nil
}

// tryLock locks the file, or says fs.ErrExist where another process holds it.
func tryLock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fs.ErrExist
	}
	return err
}
