package realviewer

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// childAttributes makes a child the leader of its own process group, and kills it when this
// process dies. The kernel ties the latter to the thread that started the child; the Go
// runtime ends a thread only when a goroutine locked to it ends, which no test does.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// clockTick is the unit of times in /proc/<pid>/stat. It is 100 per second on
// every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// CPUTime returns the user and system time that a process has used so far.
func CPUTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	// The name in parentheses may contain spaces: count from its end, where field 3 (state)
	// is first. Fields 14 and 15 are user and system time.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const user, system = 14 - 3, 15 - 3
	if len(fields) <= system {
		return 0, fmt.Errorf("read processor time: %d fields in %q", len(fields), stat)
	}
	var total time.Duration
	for _, field := range fields[user : system+1] {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		total += time.Duration(ticks) * clockTick
	}
	return total, nil
}
