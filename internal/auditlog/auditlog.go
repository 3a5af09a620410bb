// Package auditlog appends lines to a file that others move away, and that may be on a
// full disk.
package auditlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// maxBacklog bounds the lines that wait for a disk to have room again, in bytes.
	maxBacklog = 1 << 20
	// retryInterval is how often they are tried again.
	retryInterval = time.Second
)

// Log is such a file. It is safe for concurrent use.
type Log struct {
	path string
	// onChange hears when writing begins to fail, and, with nil, when it works again. It is
	// called with mu held.
	onChange func(error)

	mu      sync.Mutex
	file    *os.File
	backlog []byte // lines that are not in the file
	written int    // bytes of the first of them that are
	err     error  // of the last attempt
	lost    int64
}

// Open opens the file, or creates it for its owner only.
func Open(path string, onChange func(error)) (*Log, error) {
	l := &Log{path: path, onChange: onChange}
	return l, l.open()
}

func (l *Log) open() error {
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if l.file != nil {
		_ = l.file.Close() // each line was written at once
	}
	l.file, l.written = file, 0
	return nil
}

// Append writes a line, which ends with a line break. One that cannot be written waits for
// the disk, as far as there is room for it, and is lost otherwise.
func (l *Log) Append(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.backlog)+len(line) > maxBacklog {
		l.lost++
	} else {
		l.backlog = append(l.backlog, line...)
	}
	l.flush()
}

// flush writes what waits. Called with mu held.
func (l *Log) flush() {
	err := l.follow()
	if err == nil && len(l.backlog) > 0 {
		var n int
		n, err = l.file.Write(l.backlog[l.written:])
		l.written += n
		whole := bytes.LastIndexByte(l.backlog[:l.written], '\n') + 1
		l.backlog, l.written = l.backlog[whole:], l.written-whole
	}
	if len(l.backlog) == 0 {
		l.backlog = nil
	}
	changed := (err == nil) != (l.err == nil)
	if l.err = err; changed {
		l.onChange(err)
	}
}

// follow opens the file again if it is not the one of that name any more. Called with mu held.
func (l *Log) follow() error {
	there, err := os.Stat(l.path)
	if err == nil {
		if ours, err := l.file.Stat(); err == nil && os.SameFile(there, ours) {
			return nil
		}
	}
	return l.open()
}

// Reopen opens the file again.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open()
}

// Run tries again to write what waits, until the context ends.
func (l *Log) Run(ctx context.Context) {
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.mu.Lock()
			l.flush()
			l.mu.Unlock()
		}
	}
}

// State is the error of the last attempt to write, and how many lines were lost.
func (l *Log) State() (lost int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost, l.err
}

// Close closes the file; lines that still wait are an error.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if l.err != nil {
		return errors.Join(fmt.Errorf("write the last lines of %s: %w", l.path, l.err), l.file.Close())
	}
	return l.file.Close()
}
