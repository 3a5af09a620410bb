package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// demo is the server with its demo Viewers, for the examples.
var demo struct {
	binary  serverproc.Binary
	once    sync.Once
	process *serverproc.Process
	err     error
}

// startDemo starts the demo once, and sets the environment so that New connects to it.
func startDemo() error {
	demo.once.Do(func() {
		demo.process, demo.err = demo.binary.Start(context.Background(), "--demo")
		if demo.err == nil {
			demo.err = os.Setenv("RUNICORN_GRPC_ADDRESS", demo.process.GRPCAddr)
		}
	})
	return demo.err
}

// suite stops the demo after the tests.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	if err := startDemo(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := s.m.Run()
	if err := errors.Join(demo.process.Stop(), demo.binary.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
