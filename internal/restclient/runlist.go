package restclient

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// maxRunList bounds the list's body: 300 bytes a run, so 800,000 runs.
	maxRunList = 256 << 20
	// runListTTL is the minimum time for which a list is reused.
	runListTTL = time.Second
	// runListTTLCostFactor is how many times its cost a list is reused: a Viewer
	// of many runs needs seconds of its one thread for it.
	runListTTLCostFactor = 10
)

// RunList is the list of all runs at one moment. It is immutable and shared.
type RunList struct {
	// Runs are in the Viewer's order, which differs between the generations.
	Runs []Run
	// At is when the Viewer was asked, so nothing later is in the list.
	At time.Time
	// Cost is how long the Viewer took.
	Cost time.Duration
	// Lossy is true where text was not valid UTF-8.
	Lossy bool

	byID map[string]int
}

// Find returns a run of the list by its id, nil if there is none. 0.7.2 may
// leave runs out of its list that it serves by id.
func (l *RunList) Find(runID string) *Run {
	if i, ok := l.byID[runID]; ok {
		return &l.Runs[i]
	}
	return nil
}

// Age is how old the list is.
func (l *RunList) Age() time.Duration { return time.Since(l.At) }

// Runs returns the list of all runs. It is read at most once at a time, and
// believed for max(1 s, ten times its cost), unless this client has changed
// runs since: any number of callers cost the Viewer one call. The result is
// shared and must not be changed.
func (c *Client) Runs(ctx context.Context) (*RunList, error) {
	if list := c.runs.get(); list != nil {
		return list, nil
	}
	epoch := c.runs.currentEpoch()
	return shareRead(ctx, c, capListRuns, fmt.Sprintf("runs %d", epoch), func(ctx context.Context) (*RunList, error) {
		// Who comes here just after another caller's list has arrived uses that one.
		if list := c.runs.get(); list != nil {
			return list, nil
		}
		return c.readRuns(ctx, epoch)
	})
}

func (c *Client) readRuns(ctx context.Context, epoch int) (*RunList, error) {
	// Capabilities first, so that their probe is no part of the cost.
	if _, err := c.require(ctx, capListRuns); err != nil {
		return nil, err
	}
	start := time.Now()
	answer, err := c.listRuns(ctx)
	if err != nil {
		return nil, err
	}
	list := &RunList{
		Runs: answer.Items, At: start, Cost: time.Since(start),
		Lossy: answer.Lossy, byID: make(map[string]int, len(answer.Items)),
	}
	for i := range list.Runs {
		list.byID[list.Runs[i].ID] = i
	}
	c.runs.put(list, epoch)
	return list, nil
}

// InvalidateRuns makes the next Runs ask the Viewer. The changing methods of
// this client call it themselves.
func (c *Client) InvalidateRuns() { c.runs.invalidate() }

// runCache holds the last list.
type runCache struct {
	mu    sync.Mutex
	list  *RunList
	epoch int // how often the list was made invalid
}

func (k *runCache) get() *RunList {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.list == nil || k.list.Age() > k.list.Cost+max(runListTTL, runListTTLCostFactor*k.list.Cost) {
		return nil
	}
	return k.list
}

func (k *runCache) currentEpoch() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.epoch
}

// put stores a list that was asked for at the epoch of changes; one that
// may lack a change of ours is not kept.
func (k *runCache) put(list *RunList, changes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.epoch == changes {
		k.list = list
	}
}

func (k *runCache) invalidate() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epoch++
	k.list = nil
}
