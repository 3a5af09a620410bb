package realviewer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestModeFromEnv_AcceptsThreeValues(t *testing.T) {
	for _, row := range []struct {
		value string
		want  Mode
		ok    bool
	}{
		{"", ModeAuto, true},
		{"auto", ModeAuto, true},
		{"required", ModeRequired, true},
		{"off", ModeOff, true},
		{"yes", "", false},
		{"OFF", "", false},
	} {
		t.Run(row.value, func(t *testing.T) {
			t.Setenv(ModeVariable, row.value)
			got, err := ModeFromEnv()
			if got != row.want || (err == nil) != row.ok {
				t.Errorf("got %q, %v; want %q, ok %t", got, err, row.want, row.ok)
			}
		})
	}
}

func TestVerdict_SkipsOnlyUnavailableViewers(t *testing.T) {
	unavailable := fmt.Errorf("install: %w: no python3", ErrUnavailable)
	for _, row := range []struct {
		mode Mode
		err  error
		want result
	}{
		{ModeAuto, unavailable, skipLoudly},
		{ModeRequired, unavailable, fail},
		{ModeOff, ErrOff, skipQuietly},
		{ModeAuto, errExited, fail},
		{ModeRequired, errExited, fail},
	} {
		t.Run(fmt.Sprintf("%s, %v", row.mode, row.err), func(t *testing.T) {
			if got := verdictOf(row.mode, row.err); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestFind_IsTurnedOff(t *testing.T) {
	t.Setenv(ModeVariable, string(ModeOff))
	if _, err := Find(V053); !errors.Is(err, ErrOff) {
		t.Errorf("the error is %v, want %v", err, ErrOff)
	}
}

func TestEnsure_ReportsAMissingPython(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Ensure(t.Context(), V053); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the error is %v, want %v", err, ErrUnavailable)
	}
}

func TestEnsure_RefusesAnUnknownRelease(t *testing.T) {
	if _, err := Ensure(t.Context(), "0.4.0"); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("the error is %v, want a failure that is never skipped", err)
	}
}

// tools/releases.sh uses the requirements files as the list of releases.
func TestReleases_AreThoseWithRequirements(t *testing.T) {
	files, err := requirementFiles.ReadDir("requirements")
	if err != nil {
		t.Fatal(err)
	}
	var pinned []Version
	for _, file := range files {
		version := Version(strings.TrimSuffix(file.Name(), ".txt"))
		pinned = append(pinned, version)
		text, err := requirementFiles.ReadFile("requirements/" + file.Name())
		if err != nil || !strings.Contains(string(text), "\nrunicorn=="+string(version)+"\n") {
			t.Errorf("%s does not pin its release: %v", file.Name(), err)
		}
	}
	if !slices.Equal(pinned, Releases()) {
		t.Errorf("there are requirements for %v, and the releases are %v", pinned, Releases())
	}
	if got := OtherReleases(); len(got)+len(Versions()) != len(pinned) {
		t.Errorf("%v and %v are not all releases", got, Versions())
	}
}

func TestLockFile_HasOneHolderAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), lockPoll*3/2)
	defer cancel()
	if _, err := lockFile(short, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v, want that the wait has ended", err)
	}
	time.AfterFunc(lockPoll, unlock)
	again, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
