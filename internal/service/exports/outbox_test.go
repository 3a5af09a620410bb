package exports

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
)

// writerFunc is a client.
type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestOutbox_SendsOutsideOfTheGate(t *testing.T) {
	t.Parallel()
	gate, got := cpugate.NewGate(1), ""
	client := writerFunc(func(b []byte) (int, error) {
		got += string(b)
		return len(b), gate.Do(t.Context(), func() error { return nil }) // which hangs if the gate is held
	})
	o := &outbox{ctx: t.Context(), gate: gate, to: client}
	_, err := io.WriteString(o, "head ")
	err = errors.Join(err, o.compute(func() error {
		_, err := io.WriteString(o, "piece")
		if got != "head " {
			t.Errorf("%q was sent by a piece", got)
		}
		return err
	}))
	if err != nil || got != "head piece" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOutbox_PassesErrors(t *testing.T) {
	t.Parallel()
	gone := errors.New("the client is gone")
	o := &outbox{ctx: t.Context(), to: writerFunc(func([]byte) (int, error) { return 0, gone })}
	err := o.compute(func() error {
		_, err := o.Write(make([]byte, outboxBytes))
		if !o.full() {
			t.Error("it is not full")
		}
		return errors.Join(err, source.ErrPieceDone)
	})
	if !errors.Is(err, gone) || errors.Is(err, source.ErrPieceDone) {
		t.Errorf("got %v, want the client's error alone: the next piece would continue", err)
	}
	if err := o.compute(func() error { return source.ErrPieceDone }); !errors.Is(err, source.ErrPieceDone) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o = &outbox{ctx: ctx, gate: cpugate.NewGate(1), to: io.Discard}
	release := make(chan struct{})
	held := make(chan struct{})
	go func() { _ = o.gate.Do(context.WithoutCancel(ctx), func() error { close(held); <-release; return nil }) }()
	<-held
	defer close(release)
	if err := o.compute(func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
