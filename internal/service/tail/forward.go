package tail

import (
	"context"

	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
)

// tailItem is what the cursor of a run has delivered.
type tailItem struct {
	run    *tailedRun
	cursor *follow.Cursor
	item   *follow.Item
	err    error
}

// startForwarding starts a goroutine for each run that needs one to forward its items.
func (t *tail) startForwarding(ctx context.Context) error {
	if t.isSingle() {
		return t.runs[0].open(t)
	}
	if t.items == nil {
		t.items = make(chan tailItem)
	}
	for _, r := range t.runs {
		if r.cursor != nil || r.state.isDone() || r.state.detached {
			continue
		}
		if err := r.open(t); err != nil {
			return err
		}
		forwardCtx, stop := context.WithCancel(ctx)
		cursor, exited := r.cursor, make(chan struct{})
		r.stopForwarding = func() { stop(); <-exited }
		t.forwarders.Go(func() {
			defer close(exited)
			r.forward(forwardCtx, cursor, t.items)
		})
	}
	return nil
}

// forward passes on what the cursor delivers, until the end or an error. It waits
// for the stream, and so does a slow client make its own cursor wait only.
func (r *tailedRun) forward(ctx context.Context, cursor *follow.Cursor, items chan<- tailItem) {
	for {
		item, err := cursor.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		select {
		case items <- tailItem{run: r, cursor: cursor, item: item, err: err}:
		case <-ctx.Done():
			return
		}
		if err != nil || item.Kind == follow.ItemEnd {
			return
		}
	}
}
