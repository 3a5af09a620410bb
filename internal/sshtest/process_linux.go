package sshtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// supported reports that this system has what killTree and killUser need.
const supported = true

// attributes makes sshd end with this process, even if this process is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// asUser runs a child as another user.
func asUser(uid, gid int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}} //nolint:gosec // ids of accounts
}

// process is an entry of /proc.
type process struct {
	pid, parent int
	name        string
}

// killTree kills a process and its descendants named sshd. It looks all of them up first,
// because orphans get another parent.
func killTree(root int) error {
	all, err := processes()
	if err != nil {
		return err
	}
	doomed := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if doomed[p.parent] && !doomed[p.pid] && p.name == "sshd" {
				doomed[p.pid], grown = true, true
			}
		}
	}
	return killAll(slices.Collect(maps.Keys(doomed)))
}

// killUser kills the processes of a user created for a test.
func killUser(uid int) error { return killWhere(uid, func(int) bool { return true }) }

// killMentioning kills the processes of a user that have a directory in their command line.
// Other processes of an existing account stay untouched.
func killMentioning(uid int, dir string) error {
	return killWhere(uid, func(pid int) bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && pid != os.Getpid() && bytes.Contains(line, []byte(dir))
	})
}

// killWhere kills the processes of a user that match.
func killWhere(uid int, match func(pid int) bool) error {
	all, err := processes()
	if err != nil {
		return err
	}
	var doomed []int
	for _, p := range all {
		info, err := os.Stat(fmt.Sprintf("/proc/%d", p.pid))
		if err != nil {
			continue // it has ended
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == uint32(uid) && match(p.pid) { //nolint:gosec // the id of an account
			doomed = append(doomed, p.pid)
		}
	}
	return killAll(doomed)
}

// killTimeout is how long to wait for killed processes to end.
const killTimeout = 5 * time.Second

// killAll kills processes and waits until they are gone or zombies. A process that has
// already ended is no error.
func killAll(pids []int) error {
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("kill process %d: %w", pid, err))
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); slices.ContainsFunc(pids, runs); <-tick.C {
		if time.Since(begun) > killTimeout {
			return errors.Join(append(errs, errors.New("killed processes have not ended"))...)
		}
	}
	return errors.Join(errs...)
}

// runs reports whether a process exists and is not a zombie.
func runs(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	return len(state) > 0 && string(state[0]) != "Z"
}

// processes lists the processes in /proc.
func processes() ([]process, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name in parentheses may contain spaces; the state and the parent follow it.
		open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
		if open < 0 || end < open {
			continue
		}
		fields := bytes.Fields(text[end+1:])
		pid, pidErr := strconv.Atoi(string(bytes.TrimSpace(text[:open])))
		if pidErr != nil || len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(string(fields[1]))
		if err != nil {
			continue
		}
		all = append(all, process{pid: pid, parent: parent, name: string(text[open+1 : end])})
	}
	return all, nil
}
