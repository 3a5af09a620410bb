package restclient

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// A call over SSH blocks the whole Viewer until its peer answers, even after its caller has
// disconnected. So the call continues here as well: it holds the only SSH slot until the
// Viewer has answered or the deadline has passed, and Busy is true as long as the Viewer is
// blocked.

// Busy reports whether the Viewer is handling a call over SSH of this client. It answers no
// other call meanwhile: a caller without an answer should report it as busy, not as down.
func (c *Client) Busy() bool { return c.slots.sshBusy() }

func (g *slotLimiter) sshBusy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ssh == 0
}

// sshCall is a call over SSH and its subject.
type sshCall struct {
	call
	connection, session, path, environment string
}

// callResult is the result of a call.
type callResult[T any] struct {
	value *T
	err   error
}

// doSSH makes a call over SSH and decodes its JSON answer. If the caller leaves before the
// call was sent, it is not sent, so that nobody logs in for a caller that has gone. After
// that the goroutine continues until the route's deadline at most.
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
		return a.value, nil // it arrived at the same moment
	} else if IsKind(a.err, KindOutcomeUnknown) {
		return nil, c.newError(q.cap, KindOutcomeUnknown, ctx.Err())
	}
	return nil, c.newError(q.cap, KindCanceled, ctx.Err())
}

// readSSH makes a GET over SSH. Concurrent identical calls share the answer, which must not
// be changed.
func readSSH[T any](ctx context.Context, c *Client, q sshCall) (*T, error) {
	return shareGET(ctx, c, q.call, func(ctx context.Context) (*T, error) { return doSSH[T](ctx, c, q) })
}

// acknowledgeSSH makes a call over SSH whose answer is an acknowledgement. refusal is the
// kind of a negative one.
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

// rejected returns the error for a 200 that reports a failure. The Viewer's text may tell a
// more precise kind.
func (c *Client) rejected(q sshCall, kind Kind, text string) error {
	if finer, ok := sshFailure(500, text); ok {
		kind = finer
	}
	return q.explain(c.refused(q.call, kind, text), 0)
}
