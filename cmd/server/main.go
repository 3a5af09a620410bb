// Command server is the server process: it reads the flags, opens the listeners, makes
// the parts, serves, and drains.
//
// It must not know what Runicorn's calls mean; that is the task of internal/service. A
// call arrives at a listener of listen.go, over gRPC directly or over HTTP by an
// in-memory connection to the same gRPC server, passes the interceptors that chain.go
// lists, and leaves this package. run.go has the life cycle of the process; build.go
// makes and connects its parts.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// With a buffer of one, a second signal directly after the first could be lost.
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
