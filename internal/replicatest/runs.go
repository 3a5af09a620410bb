//go:build unix

package replicatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// Metric is the metric of the runs that grow.
const Metric = "loss"

// Runs is a training process with growing runs, and a real Viewer that has them.
type Runs struct {
	Viewer *realviewer.Viewer
	Runs   []realviewer.Run

	trainer *realviewer.Trainer
	storage string
	steps   int
}

// StartRuns starts the training and the Viewer. The caller must call Close.
func StartRuns(ctx context.Context, install *realviewer.Install, runs int) (_ *Runs, err error) {
	r := &Runs{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.storage, err = os.MkdirTemp("", "runicorn-grpc-runs-"); err != nil {
		return nil, err
	}
	if r.trainer, err = realviewer.StartTrainer(ctx, install, r.storage); err != nil {
		return nil, err
	}
	var ids []string
	for i := range runs {
		key := fmt.Sprintf("growing-%d", i)
		run, err := r.trainer.Open(ctx, key)
		if err != nil {
			return nil, err
		}
		r.Runs, ids = append(r.Runs, run), append(ids, run.RunID)
		if err := r.trainer.Log(ctx, key, 0, `{"loss": 1}`); err != nil {
			return nil, err
		}
	}
	if r.Viewer, err = realviewer.Start(ctx, install, realviewer.Options{Storage: r.storage}); err != nil {
		return nil, err
	}
	return r, r.Viewer.AwaitRuns(ctx, ids...)
}

// Grow writes ten lines per second to each run until the context ends. It bypasses the
// SDK, which would not write lines in parts. It returns after a complete line.
func (r *Runs) Grow(ctx context.Context) error {
	files := make([]*os.File, len(r.Runs))
	for i, run := range r.Runs {
		file, err := os.OpenFile(run.EventFile, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // every write was checked
		files[i] = file
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	rest := "" // of the last line
	for {
		r.steps++
		now := float64(time.Now().UnixNano()) / 1e9
		line := fmt.Sprintf(`{"ts": %.6f, "type": "metrics", "data": {"loss": %d.5, "global_step": %d, "time": %.6f}}`+"\n", now, r.steps, r.steps, now)
		text, half := rest+line, ""
		ending := ctx.Err() != nil
		if !ending && r.steps%3 == 0 {
			text, half = text[:len(text)-20], line[len(line)-20:]
		}
		rest = half
		for _, file := range files {
			if _, err := file.WriteString(text); err != nil {
				return err
			}
		}
		if ending {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// Close stops the Viewer and the training.
func (r *Runs) Close() error {
	var errs []error
	if r.trainer != nil {
		errs = append(errs, r.trainer.Close())
	}
	if r.Viewer != nil {
		errs = append(errs, r.Viewer.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(r.storage))...)
}
