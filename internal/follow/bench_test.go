package follow

import (
	"fmt"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// BenchmarkFanOut delivers one batch to a cursor, encoding shared.
func BenchmarkFanOut(b *testing.B) {
	for _, cursors := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("%d cursors", cursors), func(b *testing.B) {
			h := newTestHub(b, HubConfig{})
			src := newLiveSource(runsourcetest.Lines(0, 10))
			all := make([]*Cursor, cursors)
			for i := range all {
				cursor, err := h.Follow(runsourcetest.TheRun, src, nil, runsource.Beginning(), UntilEnded)
				if err != nil {
					b.Fatal(err)
				}
				defer cursor.Close()
				all[i] = cursor
			}
			bytes := make([]byte, 1200)
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range all {
					item, err := c.Next(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					item.Batch.Encoded("all", func() []byte { return bytes })
					c.mu.Lock()
					c.at, c.caughtUpSent = runsource.Position{Origin: runsource.FromEventLog}, false // start over
					c.mu.Unlock()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*cursors), "ns/delivery")
		})
	}
}

// BenchmarkPoll polls a log of a million lines that has grown by one.
func BenchmarkPoll(b *testing.B) {
	src := newLiveSource(runsourcetest.Lines(0, 1_000_000))
	src.File = append(make([]byte, 0, 2*len(src.File)), src.File...)
	h := newTestHub(b, HubConfig{MinInterval: 1, MaxInterval: 1 << 40})
	cursor, err := h.Follow(runsourcetest.TheRun, src, nil, runsource.Now(), UntilEnded)
	if err != nil {
		b.Fatal(err)
	}
	defer cursor.Close()
	if _, err := cursor.Next(b.Context()); err != nil { // caught up
		b.Fatal(err)
	}
	src.Counts()
	step := 1_000_000
	b.ReportAllocs()
	for b.Loop() {
		text := runsourcetest.Line(step, "1.5")
		src.Mu.Lock()
		src.File, src.Touched = append(src.File, text...), src.Touched+1
		src.Mu.Unlock()
		step++
		for done := false; !done; {
			item, err := cursor.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			done = item.Kind == ItemBatch
		}
	}
	requests, served := src.Counts()
	b.ReportMetric(float64(served)/float64(requests), "B/request")
}
