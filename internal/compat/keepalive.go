package compat

import (
	"net/http"
	"sync"
	"time"
)

// keepaliveInterval is the pause between two signs that a request is being worked on. The client takes 30 s of silence
// for a failure unless its user chose another time, and then sends the request
// again, up to three times, whatever its method. A login at an SSH server that
// does not speak takes a Viewer 15 to 30 s, a remote Viewer's start a minute.
const keepaliveInterval = 2 * time.Second

// sendContinue tells the caller every now and then that its request was heard, by
// "100 Continue", which Python's http.client skips wherever it comes and which
// any client must be able to skip. Release ends that, and has to be called
// before anything is written.
func sendContinue(w http.ResponseWriter, r *http.Request) (release func()) {
	if !r.ProtoAtLeast(1, 1) {
		return func() {} // HTTP/1.0 knows no such answer
	}
	done := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		tick := time.NewTicker(keepaliveInterval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				w.WriteHeader(http.StatusContinue)
			}
		}
	})
	return func() { close(done); sender.Wait() }
}
