// Package freshstack runs rare work on a separate stack, so that the stacks of ten
// thousand streams stay small.
package freshstack

import (
	"github.com/runicorn-grpc/runicorn-grpc/internal/panics"
)

// Run runs work on the stack of a new goroutine, and waits for it.
//
// A goroutine keeps the largest stack that it ever needed, unless its use drops below a
// quarter of that. The frames of gRPC and the interceptors alone use half of the 8 KiB
// that suffice for a tail. Validating, reading or making a message and making a status
// need more for a short time. The stack would be twice as large for the life of the
// stream, which is 80 MiB for ten thousand tails. Run is for such work where it is rare.
// A panic is raised again in the caller, with the stack trace of its origin.
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
