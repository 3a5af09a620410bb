package realviewer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Seeded is a running Viewer on a seeded storage whose KeyLive and KeyHeld are
// running.
type Seeded struct {
	*Viewer
	// Manifest has the runs of Seed and the Trainer, KeyBig, and the extra runs of the Lab.
	Manifest *Manifest
	// Trainer keeps KeyLive and KeyHeld alive.
	Trainer *Trainer
}

// Lab shares one Seeded per release among all tests of a process. The first call of Viewer
// starts all of them concurrently; a process without such a call starts none. Create it
// with NewLab. It is safe for concurrent use.
type Lab struct {
	extra  map[string]RunSpec
	cancel context.CancelFunc // cancels the starts
	open   map[Version]func() (*Seeded, error)

	prefetch func()         // starts all releases in the background, once
	starts   sync.WaitGroup // started by prefetch
}

// labStartLimit is the timeout for the start of one Viewer, without its installation.
const labStartLimit = 2 * time.Minute

// bigRows exceeds any page and limit of the API.
const bigRows = 12_000

// NewLab returns a Lab that has started nothing yet. The extra runs are written to every
// storage before its Viewer starts, under their keys; their Lines are iterated once per
// release, possibly concurrently.
func NewLab(extra map[string]RunSpec) *Lab {
	ctx, cancel := context.WithCancel(context.Background())
	lab := &Lab{extra: extra, cancel: cancel, open: make(map[Version]func() (*Seeded, error))}
	for _, version := range Versions() {
		lab.open[version] = sync.OnceValues(func() (*Seeded, error) { return lab.start(ctx, version) })
	}
	lab.prefetch = sync.OnceFunc(func() {
		for _, open := range lab.open {
			lab.starts.Go(func() { _, _ = open() }) // Viewer returns the error
		}
	})
	return lab
}

// Viewer returns the shared Viewer of a release. A test that stops it or slows it down must
// start its own with StartSeeded or MustStart. If real Viewers are unavailable, it skips or
// fails the test, depending on ModeVariable.
func (l *Lab) Viewer(tb testing.TB, version Version) *Seeded {
	tb.Helper()
	open, ok := l.open[version]
	if !ok {
		tb.Fatalf("no Viewer %s", version)
	}
	l.prefetch()
	seeded, err := open()
	if err != nil {
		giveUp(tb, err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("last output of Viewer %s:\n%s", version, seeded.Output())
		}
	})
	return seeded
}

// start starts the Viewer of a release.
func (l *Lab) start(ctx context.Context, version Version) (*Seeded, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("the lab is closed: %w", err)
	}
	install, err := Find(version)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, labStartLimit)
	defer cancel()
	seeded, err := StartSeeded(ctx, install, l.extra)
	if err != nil {
		return nil, fmt.Errorf("start a seeded Viewer %s: %w", version, err)
	}
	return seeded, nil
}

// StartSeeded seeds a new storage and starts a Trainer and a Viewer on it. The
// caller ends it with Close.
func StartSeeded(ctx context.Context, install *Install, extra map[string]RunSpec) (*Seeded, error) {
	dir, err := os.MkdirTemp("", "realviewer-storage-")
	if err != nil {
		return nil, err
	}
	seeded := &Seeded{}
	if err := seeded.fill(ctx, install, dir, extra); err != nil {
		return nil, errors.Join(err, seeded.close(dir))
	}
	return seeded, nil
}

// fill performs the steps in the only order that works with Viewer 0.7.2: see Seed.
func (s *Seeded) fill(ctx context.Context, install *Install, storage string, extra map[string]RunSpec) error {
	var err error
	if s.Manifest, err = Seed(ctx, install, storage); err != nil {
		return err
	}
	start := time.Now().Add(-bigRows * time.Second / 10)
	big := RunSpec{Project: "vision", Name: "big", Created: start, Lines: Curve(start, bigRows, "loss", "accuracy")}
	if s.Manifest.Runs[KeyBig], err = WriteRun(storage, install.Version, big); err != nil {
		return err
	}
	for key, spec := range extra {
		if s.Manifest.Runs[key], err = WriteRun(storage, install.Version, spec); err != nil {
			return err
		}
	}
	if s.Trainer, err = StartTrainer(ctx, install, storage); err != nil {
		return err
	}
	maps.Copy(s.Manifest.Runs, s.Trainer.Runs)
	if s.Viewer, err = Start(ctx, install, Options{Storage: storage}); err != nil {
		return err
	}
	return s.AwaitRuns(ctx, s.Manifest.RunIDs()...)
}

// Close stops the Viewer and the Trainer and removes the storage.
func (s *Seeded) Close() error { return s.close(s.Storage()) }

func (s *Seeded) close(storage string) error {
	var trainerErr, viewerErr error
	if s.Trainer != nil {
		trainerErr = s.Trainer.Close()
	}
	if s.Viewer != nil {
		viewerErr = s.Viewer.Close()
	}
	return errors.Join(trainerErr, viewerErr, os.RemoveAll(filepath.Clean(storage)))
}

// Close stops everything that was started. Call it after all tests.
func (l *Lab) Close() error {
	l.cancel()
	l.starts.Wait()
	var errs []error
	for version, open := range l.open {
		seeded, err := open() // one that was never started is refused by the canceled context
		if err != nil {
			continue
		}
		if err := seeded.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the seeded Viewer %s: %w", version, err))
		}
	}
	return errors.Join(errs...)
}

// Suite runs the tests of a package and then closes the Lab, in TestMain.
type Suite struct {
	lab   *Lab
	tests interface{ Run() int }
}

// Around returns the tests m (a *testing.M) followed by Close, for goleak.VerifyTestMain,
// which must check for leaks only after Close.
func (l *Lab) Around(m interface{ Run() int }) Suite { return Suite{lab: l, tests: m} }

// Run runs the tests and closes the Lab; an error of Close fails the process.
func (s Suite) Run() int {
	code := s.tests.Run()
	if err := s.lab.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}
