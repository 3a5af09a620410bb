// Package realviewer runs the real Viewers that the tests and benchmarks of this project
// are compared with: all releases from 0.5.0 on, installed from PyPI, started on free ports
// of 127.0.0.1 with separate home and storage directories, and filled by each release's own
// SDK.
//
// Require (or a Lab, which shares one running Viewer per release among all tests of a
// process) calls Ensure for an Install, which is a cached virtual environment. Seed fills a
// storage and returns a Manifest of its contents; WriteRun adds runs that would take the
// SDK too long; StartTrainer keeps runs alive; Start runs a Viewer on that storage. ReadLog
// is a slow, simple parser of event files with which our own parser is compared.
//
// The package knows nothing of gRPC and of the other packages: an oracle must not share
// code with what it checks. Only tests import it.
package realviewer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Version is a release of Runicorn.
type Version string

// The releases that all tests run on, one of each generation.
const (
	V053 Version = "0.5.3"
	V060 Version = "0.6.0"
	V072 Version = "0.7.2"
)

// Versions returns the releases that all tests run on, oldest first.
func Versions() []Version { return []Version{V053, V060, V072} }

// Releases returns every release on PyPI from 0.5.0 on, oldest first. Each has a
// requirements file; tools/releases.sh lists missing ones.
func Releases() []Version {
	return []Version{"0.5.0", "0.5.1", "0.5.2", V053, V060, "0.7.0", V072}
}

// OtherReleases returns the Releases that are not among the Versions.
func OtherReleases() []Version {
	return slices.DeleteFunc(Releases(), func(v Version) bool { return slices.Contains(Versions(), v) })
}

// Generation returns the release's first two numbers, such as "0.5".
func (v Version) Generation() string { return string(v[:strings.LastIndexByte(string(v), '.')]) }

// HasPaths reports whether the release organizes runs by path, alias and tags, like 0.6 and
// later, instead of project and name.
func (v Version) HasPaths() bool { return v.Generation() != "0.5" }

// ModeVariable is the environment variable that says what to do without Python or PyPI.
const ModeVariable = "RUNICORN_E2E"

// Mode is what tests with real Viewers do if these cannot be installed.
type Mode string

// The values of ModeVariable; unset is ModeAuto.
const (
	ModeAuto     Mode = "auto"     // skip, with one line on standard error
	ModeRequired Mode = "required" // fail
	ModeOff      Mode = "off"      // skip always
)

// ModeFromEnv reads ModeVariable.
func ModeFromEnv() (Mode, error) {
	switch mode := Mode(os.Getenv(ModeVariable)); mode {
	case "", ModeAuto:
		return ModeAuto, nil
	case ModeRequired, ModeOff:
		return mode, nil
	default:
		return "", fmt.Errorf("%s=%q: want %s, %s or %s", ModeVariable, mode, ModeRequired, ModeOff, ModeAuto)
	}
}

var (
	// ErrOff reports that ModeVariable turns real Viewers off.
	ErrOff = errors.New("real Viewers are turned off by " + ModeVariable)
	// ErrUnavailable reports that a Viewer could not be installed here, for example without
	// Python or PyPI. Later failures are real failures.
	ErrUnavailable = errors.New("real Viewers cannot be installed here")
)

// installLimit is the timeout of one installation. A cold one takes half a minute; another
// process that holds the lock may take as long.
const installLimit = 5 * time.Minute

// installs has one installation per release and process. They outlive every test, so they
// have a separate context.
var installs = func() map[Version]func() (*Install, error) {
	all := make(map[Version]func() (*Install, error))
	for _, version := range Releases() {
		all[version] = sync.OnceValues(func() (*Install, error) { return ensureWithin(installLimit, version) })
	}
	return all
}()

func ensureWithin(limit time.Duration, version Version) (*Install, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return Ensure(ctx, version)
}

// Find returns the process's Install of a release, and installs it if necessary. It needs
// no test, so TestMain may call it. The error is ErrOff or ErrUnavailable, depending on the
// mode and the machine.
func Find(version Version) (*Install, error) {
	mode, err := ModeFromEnv()
	if err != nil {
		return nil, err
	}
	if mode == ModeOff {
		return nil, ErrOff
	}
	find, ok := installs[version]
	if !ok {
		return nil, fmt.Errorf("no requirements for Viewer %s", version)
	}
	return find()
}

// Require returns the Install of a release. If it is unavailable, it skips or fails the
// test, depending on ModeVariable.
func Require(tb testing.TB, version Version) *Install {
	tb.Helper()
	install, err := Find(version)
	if err != nil {
		giveUp(tb, err)
	}
	return install
}

// announceSkip prints once per process why tests are skipped: `go test` hides the reasons,
// and a silent skip looks like a pass.
var announceSkip = sync.OnceFunc(func() {
	fmt.Fprintf(os.Stderr, "\n*** SKIPPED: tests with real Viewers did NOT run (no Python 3 with venv, or no PyPI); %s=%s makes this a failure ***\n\n",
		ModeVariable, ModeRequired)
})

// giveUp skips or fails a test without a Viewer.
func giveUp(tb testing.TB, err error) {
	tb.Helper()
	mode, modeErr := ModeFromEnv()
	if modeErr != nil {
		tb.Fatal(modeErr)
	}
	switch verdictOf(mode, err) {
	case skipQuietly:
		tb.Skip(err)
	case skipLoudly:
		announceSkip()
		tb.Skip(err)
	case fail:
		tb.Fatal(err)
	}
}

// result is the result of a test without a Viewer.
type result string

const (
	skipQuietly result = "skip quietly"
	skipLoudly  result = "skip loudly"
	fail        result = "fail"
)

// verdictOf skips if Viewers are turned off, or unavailable in automatic mode; everything
// else is a failure.
func verdictOf(mode Mode, err error) result {
	switch {
	case errors.Is(err, ErrOff):
		return skipQuietly
	case errors.Is(err, ErrUnavailable) && mode == ModeAuto:
		return skipLoudly
	default:
		return fail
	}
}
