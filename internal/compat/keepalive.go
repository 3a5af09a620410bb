package compat

import (
	"net/http"
	"sync"
	"time"
)

// keepaliveInterval is the interval of the "100 Continue" responses. Unless configured
// otherwise, the client treats 30 s without data as a failure and repeats the request up
// to three times, whatever its method. A login at an SSH server that does not respond
// takes a Viewer 15 to 30 s, the start of a remote Viewer a minute.
const keepaliveInterval = 2 * time.Second

// sendContinue sends "100 Continue" periodically, which Python's http.client skips at any
// time, as every client must. Release stops that, and must be called before the response
// is written.
func sendContinue(w http.ResponseWriter, r *http.Request) (release func()) {
	if !r.ProtoAtLeast(1, 1) {
		return func() {} // HTTP/1.0 does not have 100 Continue
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
