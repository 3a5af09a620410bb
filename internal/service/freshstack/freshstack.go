// Package freshstack runs rare work on a stack of its own, so that the stacks of
// ten thousand streams stay small.
package freshstack

import (
	"github.com/runicorn-grpc/runicorn-grpc/internal/panics"
)

// Run runs work on the stack of a new goroutine, and waits for it.
//
// A goroutine keeps the largest stack that it ever needed, unless it comes to use
// less than a quarter of it, and that of a stream uses half of the 8 KiB that are
// enough for a tail in gRPC's and the interceptors' frames alone. Checking rules,
// reading or making a message, and making a status need more for a moment: twice as
// much for as long as the stream lives, which with ten thousand tails is 80 MiB. So
// they are done on another stack, where they are rare. A panic comes back to the caller,
// with the stack trace of its origin.
func Run(work func() error) (err error) {
	var thrown *panics.CapturedError
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				thrown = panics.Capture(p)
			}
		}()
		err = work()
	}()
	<-done
	if thrown != nil {
		panic(thrown)
	}
	return err
}
