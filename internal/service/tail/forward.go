package tail

import (
	"context"

	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
)

// tailItem is an item from the cursor of a run.
type tailItem struct {
	run    *tailedRun
	cursor *follow.Cursor
	item   *follow.Item
	err    error
}

// startForwarding starts a forwarding goroutine for each run that needs one.
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

// forward sends the items of the cursor to the tail until the end or an error. It blocks
// while the tail is busy, so a slow client delays only its own cursors.
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
