package restclient

import (
	"context"
	"errors"
	"sync"
)

// flights lets identical reads share one upstream call. The call belongs to
// no single caller: it is cancelled only when the last of them has left,
// because a Viewer goes on with what a cancelled request asked for and the
// next identical one would be paid for again.
type flights struct {
	mu     sync.Mutex
	flying map[string]*flight
}

type flight struct {
	cancel  context.CancelFunc
	callers int
	landed  chan struct{} // closed when value and err are set
	value   any
	err     error
}

func newFlights() *flights { return &flights{flying: make(map[string]*flight)} }

// do returns what read returns for key, calling it unless it is in flight.
// The value is shared and must not be changed.
func (f *flights) do(ctx context.Context, key string, read func(context.Context) (any, error)) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	fl, ok := f.flying[key]
	if !ok {
		fl = f.launch(ctx, key, read)
	}
	fl.callers++
	f.mu.Unlock()
	select {
	case <-fl.landed:
		return fl.value, fl.err
	case <-ctx.Done():
		f.leave(key, fl)
		return nil, ctx.Err()
	}
}

// shareRead is do for a type. All reads under one key must have the same.
func shareRead[T any](ctx context.Context, f *flights, key string, read func(context.Context) (*T, error)) (*T, error) {
	v, err := f.do(ctx, key, func(ctx context.Context) (any, error) { return read(ctx) })
	if err != nil {
		return nil, err
	}
	return v.(*T), nil //nolint:forcetypeassert,errcheck // the key determines the type
}

// launch starts the call; called with mu held. Its goroutine ends with the
// call, which ends at the latest when all callers have left.
func (f *flights) launch(ctx context.Context, key string, read func(context.Context) (any, error)) *flight {
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	fl := &flight{cancel: cancel, landed: make(chan struct{})}
	f.flying[key] = fl
	go func() {
		defer cancel()
		fl.value, fl.err = nil, errPanicked
		defer func() {
			f.drop(key, fl)
			close(fl.landed)
		}()
		fl.value, fl.err = read(detached)
	}()
	return fl
}

// errPanicked is seen only by those who wait while the process goes down.
var errPanicked = errors.New("the shared read panicked")

func (f *flights) leave(key string, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.callers--
	if fl.callers > 0 {
		return
	}
	fl.cancel()
	if f.flying[key] == fl {
		delete(f.flying, key) // a newcomer must not join a call that is dying
	}
}

// drop takes a landed flight off the board; later callers read anew.
func (f *flights) drop(key string, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flying[key] == fl {
		delete(f.flying, key)
	}
}
