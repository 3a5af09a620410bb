package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// Main is the main function of a measurement: it builds the server, measures until an
// interrupt, and exits with 1 after an error. Flags must be parsed before.
func Main(name string, measure func(ctx context.Context, out io.Writer, b *Bed) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := onBed(ctx, measure)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func onBed(ctx context.Context, measure func(context.Context, io.Writer, *Bed) error) (err error) {
	b, err := NewBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return measure(ctx, os.Stdout, b)
}
