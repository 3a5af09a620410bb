// Command server is the process: it reads the flags, opens the listeners,
// wires the packages together, serves, and drains.
//
// It must not know what Runicorn's calls mean; that is internal/service's. A
// call comes in through a listener of listen.go, over gRPC directly or over
// HTTP by way of an in-memory connection to the same gRPC server, passes the
// interceptors that chain.go lists, and leaves this package. run.go is the
// life of the process in one screen; build.go is what is wired to what.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Left to the system, a second signal right behind the first may get lost.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, drain := context.WithCancel(context.Background())
	go func() {
		<-signals
		drain()
		<-signals
		os.Exit(exitFailed)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}
