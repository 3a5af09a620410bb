package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

//go:embed poll.py
var pollScript string

// direct compares 100 Python clients that poll the Viewer's table once per second, which
// is what users do without this server, with as many tails.
func direct(ctx context.Context, out io.Writer, b *rig.Bed) error {
	polled, pollAge, err := polling(ctx, b)
	if err != nil {
		return fmt.Errorf("polling: %w", err)
	}
	tailed, tailAge, err := tailing(ctx, b)
	if err != nil {
		return fmt.Errorf("tailing: %w", err)
	}
	fmt.Fprintf(out, "  100 clients on a run of 10,000 rows, 1 update/s: CPU of the Viewer %.1f %% polled, %.1f %% tailed: %.3f (goal: 0.15 at most)\n",
		100*polled, 100*tailed, tailed/polled)
	fmt.Fprintf(out, "    staleness p99 %v polled, %v tailed: %.3f (goal: 0.1 at most)\n",
		pollAge.Round(time.Millisecond), tailAge.Round(time.Millisecond), float64(tailAge)/float64(pollAge))
	return nil
}

const (
	directRows    = 10_000
	directClients = 100
	directLines   = 40
)

// polling runs the Python clients while the run grows.
func polling(ctx context.Context, b *rig.Bed) (cpu float64, age time.Duration, err error) {
	run, r, err := liveRig(ctx, b, "polled", realviewer.V060, directRows, "loss")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	install, err := realviewer.Find(realviewer.V072) // its environment has requests
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, install.Python, "-c", pollScript,
		r.Viewer.URL()+"/api/runs/"+run.RunID+"/metrics_step", strconv.Itoa(directClients), strconv.Itoa(directLines))
	answer, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	start := time.Now()
	_, theirs, err := r.Costs(func() error { return write(ctx, run.EventFile, directRows+1, directLines) })
	took := time.Since(start)
	var p99 float64
	err = errors.Join(err, json.NewDecoder(answer).Decode(&p99), cmd.Wait())
	return theirs.Seconds() / took.Seconds(), time.Duration(p99 * float64(time.Second)), err
}

// tailing does the same with tails.
func tailing(ctx context.Context, b *rig.Bed) (cpu float64, age time.Duration, err error) {
	run, r, err := liveRig(ctx, b, "tailed", realviewer.V060, directRows, "loss")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := collect(ctx, []string{r.Addr}, run.RunID, directClients, conns)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	_, theirs, err := r.Costs(func() error { return write(ctx, run.EventFile, directRows+1, directLines) })
	took := time.Since(start)
	if err := errors.Join(err, waitQuiet(c, directRows+1, directLines), c.close()); err != nil {
		return 0, 0, err
	}
	_, ages := c.spreads()
	return theirs.Seconds() / took.Seconds(), rig.Quantile(ages, 0.99), nil
}
