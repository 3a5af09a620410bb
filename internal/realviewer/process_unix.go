//go:build unix

package realviewer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// The location of programs in a virtual environment on this system.
const (
	supported    = true
	systemPython = "python3"
	scriptDir    = "bin"
	exeSuffix    = ""
)

// signalGroup sends a signal to a process group. Every process here leads its own group. A
// group that is gone is not an error.
func signalGroup(pid int, signal syscall.Signal) error {
	if err := syscall.Kill(-pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to group %d: %w", signal, pid, err)
	}
	return nil
}

// tryLock locks the file, or returns fs.ErrExist if another process holds the lock.
func tryLock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fs.ErrExist
	}
	return err
}
