package restclient

import (
	"context"
	"fmt"
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
	if list := c.knownRuns(); list != nil {
		return list, nil
	}
	version := c.runs.now()
	return shareRead(ctx, c, capListRuns, fmt.Sprintf("runs %d", version), func(ctx context.Context) (*RunList, error) {
		// Who comes here just after another caller's list has arrived uses that one.
		if list := c.knownRuns(); list != nil {
			return list, nil
		}
		return c.readRuns(ctx, version)
	})
}

// knownRuns is the list that is still believed, nil if there is none.
func (c *Client) knownRuns() *RunList {
	list, current := c.runs.get()
	if list == nil || !current || !isBelieved(list.At, list.Cost) {
		return nil
	}
	return list
}

func (c *Client) readRuns(ctx context.Context, version int) (*RunList, error) {
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
	c.runs.put(list, version)
	return list, nil
}

// InvalidateRuns makes the next Runs ask the Viewer. The changing methods of
// this client call it themselves.
func (c *Client) InvalidateRuns() { c.runs.invalidate() }
