package restclient

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// A call over SSH stops the whole Viewer until its peer answers, and continues
// there when its caller has left. So it continues here as well: it holds the one
// slot for SSH until the Viewer has answered or its deadline has passed, and
// Busy stays true as long as the Viewer is.

// Busy reports whether the Viewer is at work on a call over SSH of this
// client. It answers nobody else meanwhile: who gets no answer then should call
// it busy, not down.
func (c *Client) Busy() bool { return c.slots.sshBusy() }

func (g *slotLimiter) sshBusy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ssh == 0
}

// sshCall is a call over SSH, and what it is about.
type sshCall struct {
	call
	connection, session, path, environment string
}

// callResult is what a call came to.
type callResult[T any] struct {
	value *T
	err   error
}

// doSSH makes a call over SSH and decodes its JSON answer. A caller that
// leaves before the call was sent takes it back, so that nobody logs in for
// somebody who has gone. After that the goroutine lives on until the route's
// deadline at most.
func doSSH[T any](ctx context.Context, c *Client, q sshCall) (*T, error) {
	r, err := c.require(ctx, q.cap) // now, so that what is sent below is the call
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, c.newError(q.cap, KindCanceled, err)
	}
	var sent atomic.Pointer[time.Time]
	own, withdraw := context.WithCancel(httptrace.WithClientTrace(context.WithoutCancel(ctx), &httptrace.ClientTrace{
		WroteHeaders: func() { now := time.Now(); sent.Store(&now) },
	}))
	done := make(chan callResult[T], 1)
	go func() {
		defer withdraw()
		value, err := doJSON[T](own, c, q.call)
		done <- callResult[T]{value, err}
	}()
	select {
	case a := <-done:
		return a.value, q.explain(a.err, since(sent.Load()))
	case <-ctx.Done():
	}
	if sent.Load() != nil {
		return nil, c.newError(q.cap, either(r.changes(), KindOutcomeUnknown, KindCanceled), ctx.Err())
	}
	withdraw()
	if a := <-done; a.err == nil {
		return a.value, nil // it had just come
	} else if isKind(a.err, KindOutcomeUnknown) {
		return nil, c.newError(q.cap, KindOutcomeUnknown, ctx.Err())
	}
	return nil, c.newError(q.cap, KindCanceled, ctx.Err())
}

// readSSH makes a GET over SSH, which all who ask the same at this moment
// share; the answer must not be changed.
func readSSH[T any](ctx context.Context, c *Client, q sshCall) (*T, error) {
	return shareGET(ctx, c, q.call, func(ctx context.Context) (*T, error) { return doSSH[T](ctx, c, q) })
}

// acknowledgeSSH makes a call over SSH that is answered by an acknowledgement. The
// kind is that of a refusal.
func (c *Client) acknowledgeSSH(ctx context.Context, q sshCall, refusal Kind) error {
	answer, err := doSSH[acknowledgement](ctx, c, q)
	if err == nil && !answer.OK {
		return c.rejected(q, refusal, answer.Message.Value)
	}
	return err
}

func since(t *time.Time) time.Duration {
	if t == nil {
		return 0
	}
	return time.Since(*t)
}

// rejected makes the error of a 200 that says no. The Viewer's text may tell
// more than the kind that such an answer has by itself.
func (c *Client) rejected(q sshCall, kind Kind, text string) error {
	if finer, ok := sshFailure(500, text); ok {
		kind = finer
	}
	return q.explain(c.refused(q.call, kind, text), 0)
}
