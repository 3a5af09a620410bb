package realviewer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TickInterval is the interval at which a Trainer logs a point to KeyLive.
const TickInterval = 200 * time.Millisecond

// trainerGrace is how long a Trainer may take to end after its input was closed.
const trainerGrace = 3 * time.Second

// Trainer is a Python process that keeps runs alive: KeyLive, KeyHeld, and those added by
// Open. A Viewer reports them as running while the process is alive; after it was killed,
// their process is dead. Start it before the Viewer of the storage, for the reason given at
// Seed. It is safe for concurrent use.
type Trainer struct {
	// Runs are KeyLive and KeyHeld.
	Runs map[string]Run

	dir  string
	proc *process

	mu      sync.Mutex // one command at a time
	in      *os.File
	out     *os.File
	answers *bufio.Reader
}

// trainerAnswer is one line of a Trainer's output.
type trainerAnswer struct {
	Runs  map[string]Run
	Run   Run
	Error string
}

// StartTrainer starts a Trainer on a storage and waits until its runs exist. The caller
// ends it with Close.
func StartTrainer(ctx context.Context, install *Install, storage string) (*Trainer, error) {
	dir, err := os.MkdirTemp("", "realviewer-trainer-")
	if err != nil {
		return nil, fmt.Errorf("start trainer: %w", err)
	}
	t := &Trainer{dir: dir}
	if err := t.start(ctx, install, storage); err != nil {
		return nil, errors.Join(fmt.Errorf("start trainer of %s: %w", install.Version, err), os.RemoveAll(dir))
	}
	answer, err := t.read(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start trainer of %s: %w", install.Version, err), t.Close())
	}
	t.Runs = answer.Runs
	return t, nil
}

func (t *Trainer) start(ctx context.Context, install *Install, storage string) error {
	seconds := strconv.FormatFloat(TickInterval.Seconds(), 'f', -1, 64)
	cmd, err := scriptCommand(ctx, install, t.dir, storage, "trainer.py", string(install.Version), seconds)
	if err != nil {
		return err
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer childIn.Close() //nolint:errcheck // the child holds its own descriptor
	out, childOut, err := os.Pipe()
	if err != nil {
		return errors.Join(err, in.Close())
	}
	defer childOut.Close() //nolint:errcheck // the child holds its own descriptor
	cmd.Stdin, cmd.Stdout = childIn, childOut
	proc, err := startProcess(cmd, filepath.Join(t.dir, "output.log"))
	if err != nil {
		return errors.Join(err, in.Close(), out.Close())
	}
	t.proc, t.in, t.out, t.answers = proc, in, out, bufio.NewReader(out)
	return nil
}

// Open starts another run. Its project is "live" and its name the key, which must be valid
// as a directory name; in 0.6 and later its path is both.
func (t *Trainer) Open(ctx context.Context, key string) (Run, error) {
	return t.command(ctx, "open", key, `"where":{}`)
}

// Reopen continues a run that has ended, under its id and at its location, like a resumed
// training. The SDK counts steps from 1 again.
func (t *Trainer) Reopen(ctx context.Context, key string, run Run) (Run, error) {
	position := map[string]string{"run_id": run.RunID, "path": run.Path}
	if run.Path == "" {
		position = map[string]string{"run_id": run.RunID, "project": run.Project, "name": run.Name}
	}
	where, err := json.Marshal(position)
	if err != nil {
		return Run{}, err
	}
	return t.command(ctx, "open", key, `"where":`+string(where))
}

// Log logs one line to a run of this Trainer. cells is a JSON object, which may contain
// NaN, Infinity and -Infinity as Python writes them.
func (t *Trainer) Log(ctx context.Context, key string, step int64, cells string) error {
	_, err := t.command(ctx, "log", key, `"step":`+strconv.FormatInt(step, 10)+`,"cells":`+strings.ReplaceAll(cells, "\n", " "))
	return err
}

// LogText adds to the text log of a run of this Trainer.
func (t *Trainer) LogText(ctx context.Context, key, text string) error {
	quoted, err := json.Marshal(text)
	if err != nil {
		return err
	}
	_, err = t.command(ctx, "text", key, `"text":`+string(quoted))
	return err
}

// Finish ends a run of this Trainer with a status.
func (t *Trainer) Finish(ctx context.Context, key, status string) error {
	quoted, err := json.Marshal(status)
	if err != nil {
		return err
	}
	_, err = t.command(ctx, "finish", key, `"status":`+string(quoted))
	return err
}

// command sends one command and reads its answer. It builds the command without
// encoding/json, which refuses the NaN that Python accepts.
func (t *Trainer) command(ctx context.Context, do, key, rest string) (Run, error) {
	quoted, err := json.Marshal(key)
	if err != nil {
		return Run{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	line := fmt.Sprintf("{\"do\":%q,\"key\":%s,%s}\n", do, quoted, rest)
	if _, err := t.in.WriteString(line); err != nil {
		return Run{}, fmt.Errorf("trainer: %s %s: %w", do, key, err)
	}
	answer, err := t.read(ctx)
	if err != nil {
		return Run{}, fmt.Errorf("trainer: %s %s: %w", do, key, err)
	}
	return answer.Run, nil
}

// read reads one answer, until the context ends; after that answers no longer match
// commands, and the Trainer is unusable.
func (t *Trainer) read(ctx context.Context) (trainerAnswer, error) {
	stop := context.AfterFunc(ctx, func() {
		_ = t.out.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed pipe, which ends the read too
	})
	defer stop()
	line, err := t.answers.ReadBytes('\n')
	if err != nil {
		return trainerAnswer{}, fmt.Errorf("%w; its last output:\n%s", errors.Join(ctx.Err(), err), t.proc.output())
	}
	var answer trainerAnswer
	if err := json.Unmarshal(line, &answer); err != nil {
		return trainerAnswer{}, fmt.Errorf("read answer %q: %w", line, err)
	}
	if answer.Error != "" {
		return trainerAnswer{}, errors.New(answer.Error)
	}
	return answer, nil
}

// Close ends the process, its runs unfinished, and removes its files.
func (t *Trainer) Close() error {
	inErr := t.in.Close()
	select {
	case <-t.proc.done:
	case <-time.After(trainerGrace):
	}
	return errors.Join(inErr, t.proc.kill(), t.out.Close(), os.RemoveAll(t.dir))
}
