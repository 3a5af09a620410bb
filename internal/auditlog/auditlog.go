// Package auditlog appends lines to a file that is rotated by other programs, and whose
// disk may be full.
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
	// maxBacklog is the maximum size in bytes of the lines that wait to be written.
	maxBacklog = 1 << 20
	// retryInterval is the interval of attempts to write them.
	retryInterval = time.Second
)

// Log is an append-only file. It is safe for concurrent use.
type Log struct {
	path string
	// onChange is called with the error when writing begins to fail, and with nil when it
	// works again. It is called with mu held.
	onChange func(error)

	mu      sync.Mutex
	file    *os.File
	backlog []byte // lines that are not completely written
	written int    // number of bytes of the backlog that are written
	err     error  // of the last attempt
	lost    int64
}

// Open opens the file. If it creates the file, only the owner may read it.
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
		_ = l.file.Close() // each line was already written
	}
	l.file, l.written = file, 0
	return nil
}

// Append writes a line, which must end with a line break. A line that cannot be written
// is kept and retried; if the backlog is full, it is lost.
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

// flush writes the backlog. The caller holds mu.
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

// follow reopens the file if another file has its name now. The caller holds mu.
func (l *Log) follow() error {
	there, err := os.Stat(l.path)
	if err == nil {
		if ours, err := l.file.Stat(); err == nil && os.SameFile(there, ours) {
			return nil
		}
	}
	return l.open()
}

// Reopen closes the file and opens the one that has its name now.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open()
}

// Run retries to write the backlog until the context ends.
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

// State returns the number of lost lines, and the error of the last attempt to write.
func (l *Log) State() (lost int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost, l.err
}

// Close closes the file; it returns an error if lines were not written.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if l.err != nil {
		return errors.Join(fmt.Errorf("write the last lines of %s: %w", l.path, l.err), l.file.Close())
	}
	return l.file.Close()
}
