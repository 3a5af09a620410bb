package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

const (
	// DefaultFanOutTimeout is how long a call over all Viewers waits for each of them.
	DefaultFanOutTimeout = 2 * time.Second
	// minProbeDelay and maxProbeDelay limit the delay between the probes of a Viewer that
	// is away.
	minProbeDelay, maxProbeDelay = 250 * time.Millisecond, 5 * time.Second
	// maxPending limits work that continues after its caller was answered.
	maxPending = time.Minute
)

// awayState is why calls over all Viewers skip one.
type awayState struct{ err error }

// Away returns why calls over all Viewers skip this one, nil if they do not.
func (v *Viewer) Away() error {
	if a := v.away.Load(); a != nil {
		return a.err
	}
	return nil
}

// FanOutTimeout is how long calls over all Viewers wait for each of them: without a limit,
// one frozen machine would delay the results of all others.
func (f *Fleet) FanOutTimeout() time.Duration { return f.fanOutTimeout }

// SetFanOutTimeout changes the timeout. It must be called before the first call.
func (f *Fleet) SetFanOutTimeout(d time.Duration) { f.fanOutTimeout = d }

// AskWithin calls ask for a Viewer on behalf of a call that can be answered without that
// Viewer, and waits for at most timeout. After that, ask continues for the benefit of later
// calls. The Viewer is away, and nobody waits for it, until ask has succeeded or the Viewer
// has answered a probe.
func AskWithin[T any](ctx context.Context, v *Viewer, timeout time.Duration, ask func(context.Context, *Viewer) (T, error)) (T, error) {
	var none T
	if err := v.Away(); err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxPending)
	stop := context.AfterFunc(v.fleet.ctx, cancel)
	done := make(chan answer, 1)
	v.fleet.queries.Go(func() {
		defer stop()
		defer cancel()
		value, err := ask(own, v)
		done <- answer{value, err}
	})
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		cancel()
		return none, ctx.Err()
	case <-time.After(timeout):
	}
	return none, v.leave(timeout, func() error { return (<-done).err })
}

// leave marks a Viewer as away, until pending or a probe has succeeded.
func (v *Viewer) leave(after time.Duration, pending func() error) error {
	err := &restclient.Error{
		Kind: restclient.KindTimeout, Viewer: v.Name,
		Detail: fmt.Sprintf("no answer within %v; it is probed in the background and skipped until it answers", after),
		Err:    context.DeadlineExceeded,
	}
	state := &awayState{err}
	if !v.away.CompareAndSwap(nil, state) {
		return err // it is being probed already
	}
	v.fleet.queries.Go(func() {
		defer v.away.CompareAndSwap(state, nil)
		if pending() == nil {
			return
		}
		for delay := minProbeDelay; ; delay = min(2*delay, maxProbeDelay) {
			select {
			case <-v.ended():
				return
			case <-time.After(delay):
			}
			if _, err := v.Client.Health(v.fleet.ctx); err == nil {
				return
			}
		}
	})
	return err
}

// ended returns a channel that is closed when the Viewer need not be probed any more.
func (v *Viewer) ended() <-chan struct{} {
	if v.session != nil {
		return v.session.ctx.Done()
	}
	return v.fleet.ctx.Done()
}
