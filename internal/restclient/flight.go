package restclient

import (
	"context"
	"errors"
	"sync"
)

// flightGroup lets identical reads share one upstream call. The call belongs to
// no single caller: it is cancelled only when the last of them has left,
// because a Viewer goes on with what a cancelled request asked for and the
// next identical one would be paid for again.
type flightGroup struct {
	mu       sync.Mutex
	inFlight map[string]*flight
}

type flight struct {
	cancel  context.CancelFunc
	callers int
	done    chan struct{} // closed when value and err are set
	value   any
	err     error
}

func newFlightGroup() *flightGroup { return &flightGroup{inFlight: make(map[string]*flight)} }

// do returns what read returns for key, calling it unless it is in flight.
// The value is shared and must not be changed.
func (f *flightGroup) do(ctx context.Context, key string, read func(context.Context) (any, error)) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	fl, ok := f.inFlight[key]
	if !ok {
		fl = f.start(ctx, key, read)
	}
	fl.callers++
	f.mu.Unlock()
	select {
	case <-fl.done:
		return fl.value, fl.err
	case <-ctx.Done():
		f.leaveCall(key, fl)
		return nil, ctx.Err()
	}
}

// shareRead is do for a type. All reads under one key must have the same.
func shareRead[T any](ctx context.Context, f *flightGroup, key string, read func(context.Context) (*T, error)) (*T, error) {
	v, err := f.do(ctx, key, func(ctx context.Context) (any, error) { return read(ctx) })
	if err != nil {
		return nil, err
	}
	return v.(*T), nil //nolint:forcetypeassert,errcheck // the key determines the type
}

// start starts a call; called with mu held. Its goroutine ends with the
// call, which ends at the latest when all callers have left.
func (f *flightGroup) start(ctx context.Context, key string, read func(context.Context) (any, error)) *flight {
	callCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	fl := &flight{cancel: cancel, done: make(chan struct{})}
	f.inFlight[key] = fl
	go func() {
		defer cancel()
		fl.value, fl.err = nil, errPanicked
		defer func() {
			f.forget(key, fl)
			close(fl.done)
		}()
		fl.value, fl.err = read(callCtx)
	}()
	return fl
}

// errPanicked is seen only by those who wait while the process goes down.
var errPanicked = errors.New("the shared read panicked")

func (f *flightGroup) leaveCall(key string, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.callers--
	if fl.callers > 0 {
		return
	}
	fl.cancel()
	if f.inFlight[key] == fl {
		delete(f.inFlight, key) // a new caller must not join a canceled call
	}
}

// forget removes a finished call; later callers read again.
func (f *flightGroup) forget(key string, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inFlight[key] == fl {
		delete(f.inFlight, key)
	}
}
