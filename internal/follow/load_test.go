package follow

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

func TestFollow_ManyCursorsCostOnePoller(t *testing.T) {
	const polls = 40
	var alone int
	for _, n := range []int{1, 100, 2000} {
		synctest.Test(t, func(t *testing.T) {
			src := newLiveSource(runsourcetest.Lines(0, 1000))
			h := newTestHub(t, HubConfig{MinInterval: time.Second, MaxInterval: time.Second})
			var all sync.WaitGroup
			for range n {
				cursor, err := h.Follow(runsourcetest.TheRun, src, nil, runsource.Beginning(), UntilEnded)
				if err != nil {
					t.Fatal(err)
				}
				all.Go(func() {
					defer cursor.Close()
					points := 0
					for {
						item, err := cursor.Next(t.Context())
						if err != nil || item.Kind == ItemEnd {
							break
						}
						if item.Kind == ItemBatch {
							points += item.Batch.Points
						}
					}
					if points != 1000+polls {
						t.Errorf("%d points", points)
					}
				})
			}
			for i := range polls {
				src.Append(runsourcetest.Lines(1000+i, 1))
				time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
			}
			requests, served := src.Counts()
			// Forty intervals have forty-one ends; every ten seconds a poll also compares
			// the head, by a second request.
			const maxRequests = polls + 1 + polls/10
			if requests > maxRequests {
				t.Errorf("%d cursors: %d requests in %d intervals", n, requests, polls)
			}
			if limit := 2*int64(len(runsourcetest.Lines(0, 1000+polls))) + polls*2*runsource.CheckpointBytes; served > limit {
				t.Errorf("%d cursors: %d bytes, want at most %d", n, served, limit)
			}
			if n == 1 {
				alone = requests
			} else if requests > max(alone+1, maxRequests) {
				t.Errorf("%d cursors: %d requests, one alone %d", n, requests, alone)
			}
			src.setStatus("finished")
			all.Wait()
		})
	}
}

func TestFollow_DelayDoesNotDependOnIdleTime(t *testing.T) {
	for _, idle := range []time.Duration{500 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, 5 * time.Minute} {
		t.Run(idle.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const interval = 200 * time.Millisecond
				src := newLiveSource(runsourcetest.Lines(0, 10))
				c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
				c.waitFor(time.Second)
				for n := 10; n < 20; n++ {
					src.Append(runsourcetest.Lines(n, 1))
					written := time.Now()
					for len(c.points) == n {
						c.takeNext(idle)
					}
					if delay := time.Since(written); delay > interval {
						t.Errorf("%v after a pause of %v, want %v at most", delay, idle, interval)
					}
					src.Counts()
					c.waitFor(idle - time.Since(written))
					if requests, _ := src.Counts(); requests > int(idle/interval)+1 {
						t.Errorf("%d requests in a pause of %v", requests, idle)
					}
				}
			})
		})
	}
}

func TestFollow_LateCursorsShareHistory(t *testing.T) {
	const n, clients = 40_000, 50
	synctest.Test(t, func(t *testing.T) {
		src := newLiveSource(runsourcetest.Lines(0, n))
		h := newTestHub(t, HubConfig{})
		follow(t, h, src, runsource.Now(), UntilEnded).wait(time.Second)
		src.Counts()
		var all sync.WaitGroup
		for range clients {
			c := follow(t, h, src, runsource.Beginning(), UntilEnded)
			all.Go(func() {
				c.wait(300 * time.Millisecond)
				if len(c.points) != n || c.points[n-1].Step != n-1 {
					t.Errorf("%d points, want %d", len(c.points), n)
				}
			})
		}
		all.Wait()
		size := len(runsourcetest.Lines(0, n))
		requests, served := src.Counts()
		if maxRequests := size/chunkBytes + 4; requests > maxRequests || served > int64(size)*5/4 {
			t.Errorf("%d requests with %d bytes for %d clients, want at most %d requests; the log has %d bytes", requests, served, clients, maxRequests, size)
		}
		if s := h.Stats(); s.HistoryBytes == 0 || s.Cursors != clients+1 || s.Runs != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestFollow_StalledCursorsUseNoMemory(t *testing.T) {
	const stalled = 1000
	synctest.Test(t, func(t *testing.T) {
		src := newLiveSource("")
		src.Absent = true
		h := newTestHub(t, HubConfig{MaxBytes: 4 << 20, MaxRunBytes: 2 << 20, HistoryBytes: 2 << 20})
		fast := follow(t, h, src, runsource.Beginning(), UntilEnded)
		clients := make([]*client, stalled)
		for i := range clients {
			clients[i] = follow(t, h, src, runsource.Beginning(), UntilEnded)
		}
		before := runsourcetest.Heap()
		n := 0
		for range 60 {
			src.Append(runsourcetest.Lines(n, 1000))
			n += 1000
			fast.wait(time.Second)
			if len(fast.points) != n {
				t.Fatalf("%d points, want %d", len(fast.points), n)
			}
		}
		own := int64(cap(fast.points))*int64(len("loss")+64) + int64(len(src.File))
		if s := h.Stats(); s.Bytes > 2<<20+128<<10 || s.HistoryBytes > 2<<20 {
			t.Errorf("retained beyond the bound: %+v", s)
		}
		if grown := runsourcetest.Heap() - before - own; grown > 16<<20 {
			t.Errorf("%d stalled clients: the heap has grown by %d MiB", stalled, grown>>20)
		}
		slow := clients[0]
		slow.wait(time.Second)
		if len(slow.points) != n || slow.points[n-1] != fast.points[n-1] {
			t.Errorf("one that wakes up got %d points, want %d", len(slow.points), n)
		}
	})
}

func TestFollow_SharesEncodings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newLiveSource(runsourcetest.Lines(0, 100))
		h := newTestHub(t, HubConfig{})
		made := 0
		for range 10 {
			cursor, err := h.Follow(runsourcetest.TheRun, src, nil, runsource.Beginning(), UntilEnded)
			if err != nil {
				t.Fatal(err)
			}
			defer cursor.Close()
			item, err := cursor.Next(t.Context())
			if err != nil || item.Kind != ItemBatch {
				t.Fatalf("got %+v, error %v", item, err)
			}
			before := h.Stats().Bytes
			for _, key := range []string{"all", "none"} {
				item.Batch.Encoded(key, func() []byte {
					made++
					return make([]byte, 1000)
				})
			}
			if after := h.Stats().Bytes; made == 2 && before > after {
				t.Errorf("%d bytes, %d before", after, before)
			}
		}
		if made != 2 {
			t.Errorf("encoded %d times, want 2", made)
		}
		if s := h.Stats(); s.Bytes < 2000 {
			t.Errorf("encodings do not count: %+v", s)
		}
	})
}

// countingThrottle records the work it admits.
type countingThrottle struct {
	mu   sync.Mutex
	keys map[string]int
}

func (p *countingThrottle) Background(ctx context.Context, key string, work func(context.Context) error) error {
	p.mu.Lock()
	if p.keys == nil {
		p.keys = map[string]int{}
	}
	p.keys[key]++
	p.mu.Unlock()
	time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the bubble's clock
	return work(ctx)
}

func TestFollow_PollsAllRunsOfAViewerEqually(t *testing.T) {
	const runs = 64
	synctest.Test(t, func(t *testing.T) {
		h, throttle := newTestHub(t, HubConfig{}), &countingThrottle{}
		for i := range runs {
			key := runsource.Key{Viewer: "v", RunID: string(rune('A' + i))}
			cursor, err := h.Follow(key, newLiveSource(runsourcetest.Lines(0, 3)), throttle, runsource.Beginning(), UntilEnded)
			if err != nil {
				t.Fatal(err)
			}
			defer cursor.Close()
		}
		time.Sleep(5 * time.Minute) //nolint:forbidigo // the bubble's clock
		throttle.mu.Lock()
		defer throttle.mu.Unlock()
		fewest, most := 1<<30, 0
		for i := range runs {
			n := throttle.keys["follow "+string(rune('A'+i))]
			fewest, most = min(fewest, n), max(most, n)
		}
		if fewest < 20 || most > fewest+8 {
			t.Errorf("between %d and %d polls of each of %d runs", fewest, most, runs)
		}
	})
}

// If the share is too small for all, a run that logs every second does not have to wait
// behind idle ones.
func TestFollow_ActiveRunsComeFirst(t *testing.T) {
	const quiet = 63
	synctest.Test(t, func(t *testing.T) {
		h, throttle := newTestHub(t, HubConfig{}), &countingThrottle{}
		start := func(id string, src *liveSource) *Cursor {
			cursor, err := h.Follow(runsource.Key{Viewer: "v", RunID: id}, src, throttle, runsource.Beginning(), UntilEnded)
			if err != nil {
				t.Fatal(err)
			}
			return cursor
		}
		for i := range quiet {
			defer start(string(rune('A'+i)), newLiveSource(runsourcetest.Lines(0, 3))).Close()
		}
		src := newLiveSource(runsourcetest.Lines(0, 3))
		c := &client{t: t, cursor: start("active", src)}
		defer c.cursor.Close()
		c.waitFor(time.Minute)
		for n := 3; n < 60; n++ {
			src.Append(runsourcetest.Lines(n, 1))
			written := time.Now()
			for len(c.points) == n {
				c.takeNext(time.Minute)
			}
			if delay := time.Since(written); n > 10 && delay > 500*time.Millisecond {
				t.Errorf("%v late", delay)
			}
			c.waitFor(time.Second - time.Since(written))
		}
	})
}
