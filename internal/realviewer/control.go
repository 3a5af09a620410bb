package realviewer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// URL returns the Viewer's address, without a slash at its end.
func (v *Viewer) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", v.options.Port) }

// Version returns the Viewer's release.
func (v *Viewer) Version() Version { return v.install.Version }

// Storage returns the directory of the Viewer's runs.
func (v *Viewer) Storage() string { return v.options.Storage }

// PID returns the id of the Viewer's process, which changes with Restart.
func (v *Viewer) PID() int { return v.process().pid() }

// Output returns the end of what the Viewer has printed.
func (v *Viewer) Output() string { return v.process().output() }

// CPUTime returns the processor time of the current process since it started, in
// steps of 10 ms. Linux only.
func (v *Viewer) CPUTime() (time.Duration, error) { return CPUTime(v.PID()) }

// Stop terminates the Viewer and waits; after five seconds it is killed.
func (v *Viewer) Stop() error { return v.process().stop(stopGrace) }

// Kill ends the Viewer at once, as a crash does.
func (v *Viewer) Kill() error { return v.process().kill() }

// Restart stops the Viewer if it is running, and starts it again on the same port and
// storage. The context limits the start.
func (v *Viewer) Restart(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.proc.stop(stopGrace); err != nil {
		return fmt.Errorf("restart Viewer %s: %w", v.install.Version, err)
	}
	return v.start(ctx)
}

// Close stops the Viewer and removes its files, including the storage if Start created it.
func (v *Viewer) Close() error {
	var stopErr error
	if v.process() != nil {
		stopErr = v.Stop()
	}
	return errors.Join(stopErr, os.RemoveAll(v.dir))
}

func (v *Viewer) process() *process {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.proc
}

// The delays between two attempts.
const (
	firstWait = 10 * time.Millisecond
	lastWait  = 250 * time.Millisecond
)

// final marks an error that retrying cannot fix.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// retry calls try with growing delays until it succeeds, returns a final error, or the
// context ends.
func retry(ctx context.Context, try func() error) error {
	for wait := firstWait; ; wait = min(wait*3/2, lastWait) {
		err := try()
		if err == nil {
			return nil
		}
		if _, ok := errors.AsType[final](err); ok {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		}
	}
}
