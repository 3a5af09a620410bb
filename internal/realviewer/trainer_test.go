package realviewer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTrainer_ExecutesCommands(t *testing.T) {
	for _, version := range Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			seeded := lab.Viewer(t, version)
			trainer := seeded.Trainer
			run, err := trainer.Open(t.Context(), "told")
			if err != nil {
				t.Fatal(err)
			}
			if err := trainer.Log(t.Context(), "told", 5, `{"loss": `); err == nil {
				t.Error("a broken object was taken")
			}
			for step, cells := range []string{`{"loss": NaN}`, `{"loss": -Infinity, "big": 1152921504606846977}`} {
				if err := trainer.Log(t.Context(), "told", int64(step), cells); err != nil {
					t.Fatal(err)
				}
			}
			if err := trainer.LogText(t.Context(), "told", "a line"); err != nil {
				t.Fatal(err)
			}
			if err := trainer.Finish(t.Context(), "told", "failed"); err != nil {
				t.Fatal(err)
			}
			again, err := trainer.Reopen(t.Context(), "told", run)
			if err != nil {
				t.Fatal(err)
			}
			if again.EventFile != run.EventFile {
				t.Errorf("reopened at %s, was at %s", again.EventFile, run.EventFile)
			}
			if err := trainer.Log(t.Context(), "told", 1, `{"loss": 3}`); err != nil {
				t.Fatal(err)
			}
			if err := trainer.Log(t.Context(), KeyHeld, 1, `{"loss": 1}`); err != nil {
				t.Fatal(err)
			}
			logged, err := ReadLog(run.EventFile)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(logged.Lines), 3; got != want {
				t.Fatalf("%d lines are logged, want %d", got, want)
			}
			if got := logged.Lines[1].Cells["loss"].Text; got != "-Infinity" {
				t.Errorf("loss is %q, want -Infinity", got)
			}
			if got := logged.Lines[1].Cells["big"].Text; got != "1152921504606846977" {
				t.Errorf("big is %q", got)
			}
			// Viewer 0.7.2's database refuses the second start of the run, and must not
			// stay locked for others.
			if output := trainer.proc.output(); strings.Contains(output, "database is locked") {
				t.Errorf("the trainer says:\n%s", output)
			}
			text, err := os.ReadFile(filepath.Join(run.Dir, "logs.txt"))
			if err != nil || !strings.HasSuffix(string(text), "| a line\n") {
				t.Errorf("the text log is %q, %v", text, err)
			}
		})
	}
}

func TestTrainer_ReportsErrors(t *testing.T) {
	trainer := lab.Viewer(t, V053).Trainer
	err := trainer.Finish(t.Context(), "no such run", "failed")
	if err == nil || !strings.Contains(err.Error(), "KeyError") {
		t.Errorf("the error is %v, want the KeyError of Python", err)
	}
}

func TestTrainer_TheLiveRunGrows(t *testing.T) {
	for _, version := range Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			seeded := lab.Viewer(t, version)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			path := seeded.Manifest.Runs[KeyLive].EventFile
			before, err := ReadLog(path)
			if err != nil {
				t.Fatal(err)
			}
			err = retry(ctx, func() error {
				now, err := ReadLog(path)
				if err == nil && len(now.Lines) < len(before.Lines)+2 {
					err = errors.New("no two further lines")
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
