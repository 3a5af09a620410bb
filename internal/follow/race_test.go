package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// This is the model test: a writer and a Viewer with all kinds of faults, clients that
// disconnect and resume by token on either of two hubs, and the file as the oracle.
func TestFollow_DeliversExactlyTheLog(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func runModel(t *testing.T, r *rand.Rand) {
	t.Helper()
	src := newLiveSource("")
	src.Absent = true
	small := HubConfig{MaxRunBytes: 8 << 10, HistoryBytes: 64 << 10}
	hubs := []*Hub{newTestHub(t, HubConfig{}), newTestHub(t, small)}
	var truth []runsourcetest.Point
	var written strings.Builder
	write := func() {
		var burst strings.Builder
		for range r.IntN(1 << r.IntN(10)) {
			n := len(truth)
			offset := written.Len()
			step := r.IntN(50) // late, repeated and rewritten steps
			text := runsourcetest.Line(step, strconv.Itoa(n))
			if r.IntN(20) == 0 {
				text = strings.Repeat("x", r.IntN(200)) + "\n"
			} else {
				truth = append(truth, runsourcetest.Point{Name: "loss", Step: int64(step), Value: float64(n), Position: int64(offset)})
			}
			written.WriteString(text)
			burst.WriteString(text)
		}
		text := burst.String()
		if text == "" {
			return
		}
		cut := 1 + r.IntN(len(text)-1)
		src.Append(text[:cut])
		time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond) //nolint:forbidigo // the bubble's clock
		src.Append(text[cut:])
	}
	var clients sync.WaitGroup
	var got [8]*client
	for i := range got {
		got[i] = &client{t: t}
		rng := rand.New(rand.NewPCG(r.Uint64(), 2))
		clients.Go(func() { got[i].followAtRandom(hubs, src, rng) })
	}
	for range 40 {
		write()
		switch r.IntN(6) {
		case 0:
			src.Set(func() { src.down = errors.New("killed") })
			time.Sleep(time.Duration(r.IntN(8000)) * time.Millisecond) //nolint:forbidigo // the bubble's clock
			src.Set(func() { src.down = nil })
		case 1:
			src.Set(func() { src.Cuts = []int{r.IntN(2000), r.IntN(2000)} })
		}
	}
	src.setStatus("finished")
	clients.Wait()
	for i, c := range got {
		if diff := cmp.Diff(truth, c.points); diff != "" {
			t.Fatalf("client %d, %d of %d points (-want +got):\n%.1000s", i, len(c.points), len(truth), diff)
		}
	}
}

// followAtRandom follows the run to its end, disconnecting at random and resuming from the
// last position on any hub.
func (c *client) followAtRandom(hubs []*Hub, src runsource.Source, r *rand.Rand) {
	for !c.ended {
		cursor, err := hubs[r.IntN(len(hubs))].Follow(runsourcetest.TheRun, src, nil, c.at, UntilEnded)
		if err != nil {
			c.t.Error(err)
			return
		}
		for range r.IntN(30) {
			ctx, cancel := context.WithTimeout(c.t.Context(), time.Duration(r.IntN(20))*time.Second)
			item, err := cursor.Next(ctx)
			cancel()
			if errors.Is(err, io.EOF) || err == nil && item.Kind == ItemEnd {
				c.ended = true
				break
			}
			if err != nil {
				break
			}
			if item.Kind == ItemReset {
				c.t.Errorf("reset %s at %+v", item.Reset, c.at)
			}
			c.record(item)
			if r.IntN(4) == 0 { // a slow client
				time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond) //nolint:forbidigo // the bubble's clock
			}
		}
		cursor.Close()
	}
}

// Cursors join and leave at random times around the end and the failure of a poller.
func TestFollow_EveryCursorIsNotifiedOfTheEnd(t *testing.T) {
	const rounds, clients = 65, 40 // 10,400 joins over the four
	for _, how := range []string{"end", "failure", "deletion", "close"} {
		t.Run(how, func(t *testing.T) {
			var silent, ended atomic.Int64
			for round := range uint64(rounds) {
				synctest.Test(t, func(t *testing.T) {
					r := rand.New(rand.NewPCG(round, 3))
					src := newLiveSource(runsourcetest.Lines(0, 5))
					h := newTestHub(t, HubConfig{EndGrace: time.Second, UnreachableAfter: time.Second})
					var all sync.WaitGroup
					for range clients {
						joinAfter := time.Duration(r.IntN(4000)) * time.Millisecond
						stayFor := time.Duration(1+r.IntN(40)) * time.Second
						all.Go(func() {
							time.Sleep(joinAfter) //nolint:forbidigo // the bubble's clock
							cursor, err := h.Follow(runsourcetest.TheRun, src, nil, runsource.Beginning(), UntilEnded)
							if err != nil {
								if !errors.Is(err, ErrHubClosed) {
									t.Error(err)
								}
								return
							}
							defer cursor.Close()
							ctx, cancel := context.WithTimeout(t.Context(), stayFor)
							defer cancel()
							next := 0
							for {
								item, err := cursor.Next(ctx)
								switch {
								case errors.Is(err, context.DeadlineExceeded):
									if stayFor > 30*time.Second {
										silent.Add(1)
									}
									return
								case err != nil || item.Kind == ItemEnd:
									ended.Add(1)
									return
								case item.Kind == ItemBatch:
									for _, step := range item.Batch.Series()[0].Steps {
										if step != int64(next) {
											t.Errorf("step %d, want %d", step, next)
										}
										next++
									}
								}
							}
						})
					}
					time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
					src.Append(runsourcetest.Lines(5, 3))
					time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
					switch how {
					case "end":
						src.setStatus("finished")
					case "failure":
						src.Set(func() { src.down = errors.New("refused") })
					case "deletion":
						src.Set(func() { src.Deleted = true })
					case "close":
						h.Close()
					}
					all.Wait()
					before, _ := src.Counts()
					time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's clock
					if after, _ := src.Counts(); after > 0 {
						t.Errorf("%d requests after the last cursor had left (%d before)", after, before)
					}
					if s := h.Stats(); s.Runs != 0 || s.Cursors != 0 || s.Bytes != 0 {
						t.Errorf("left behind: %+v", s)
					}
				})
			}
			if silent.Load() > 0 || ended.Load() == 0 {
				t.Errorf("%d cursors heard nothing, %d ended", silent.Load(), ended.Load())
			}
		})
	}
}
