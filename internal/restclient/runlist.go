package restclient

import (
	"context"
	"fmt"
	"time"
)

const (
	// maxRunList limits the list's body in bytes: enough for 800,000 runs of 300 bytes.
	maxRunList = 256 << 20
	// runListTTL is the minimum time for which a list is cached.
	runListTTL = time.Second
	// runListTTLCostFactor times the cost of a list is how long it is cached: with many
	// runs it takes a Viewer seconds of its only thread.
	runListTTLCostFactor = 10
)

// RunList is the list of all runs at one moment. It is immutable and shared.
type RunList struct {
	// Runs are in the Viewer's order, which differs between the generations.
	Runs []Run
	// At is when the request was sent; the list has no later changes.
	At time.Time
	// Cost is how long the Viewer took.
	Cost time.Duration
	// Lossy reports that text had invalid UTF-8.
	Lossy bool

	byID map[string]int
}

// Find returns a listed run by its id, or nil. 0.7.2 may serve runs by id that are not in
// its list.
func (l *RunList) Find(runID string) *Run {
	if i, ok := l.byID[runID]; ok {
		return &l.Runs[i]
	}
	return nil
}

// Age returns the age of the list.
func (l *RunList) Age() time.Duration { return time.Since(l.At) }

// Runs returns the list of all runs. At most one read is in flight, and its result is
// cached for max(1 s, ten times its cost) unless this client changes runs, so any number of
// callers cost the Viewer one call. The result is shared and must not be changed.
func (c *Client) Runs(ctx context.Context) (*RunList, error) {
	if list := c.knownRuns(); list != nil {
		return list, nil
	}
	version := c.runs.now()
	return shareRead(ctx, c, capListRuns, fmt.Sprintf("runs %d", version), func(ctx context.Context) (*RunList, error) {
		// Another caller's list may have arrived in between.
		if list := c.knownRuns(); list != nil {
			return list, nil
		}
		return c.readRuns(ctx, version)
	})
}

// knownRuns returns the cached list while it is valid, or nil.
func (c *Client) knownRuns() *RunList {
	list, current := c.runs.get()
	if list == nil || !current || !isCurrent(list.At, list.Cost) {
		return nil
	}
	return list
}

func (c *Client) readRuns(ctx context.Context, version int) (*RunList, error) {
	// Capabilities first, so that probing them is not part of the cost.
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
	c.runs.put(list, version)
	return list, nil
}

// InvalidateRuns makes the next Runs read the list again. The changing methods of this
// client call it themselves.
func (c *Client) InvalidateRuns() { c.runs.invalidate() }
