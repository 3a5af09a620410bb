package runlog

import (
	"fmt"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// BenchmarkFanOut delivers one batch to a cursor, encoding shared.
func BenchmarkFanOut(b *testing.B) {
	for _, cursors := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("%d cursors", cursors), func(b *testing.B) {
			h := newTestHub(b, HubConfig{})
			src := newLiveSource(lines(0, 10))
			all := make([]*Cursor, cursors)
			for i := range all {
				cursor, err := h.Follow(theRun, src, nil, Beginning(), UntilEnded)
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
					c.at, c.caughtUpSent = Position{origin: FromEventLog}, false // once more
					c.mu.Unlock()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*cursors), "ns/delivery")
		})
	}
}

// BenchmarkPoll is one poll of a log of a million lines that has grown by one.
func BenchmarkPoll(b *testing.B) {
	src := newLiveSource(lines(0, 1_000_000))
	src.file = append(make([]byte, 0, 2*len(src.file)), src.file...)
	h := newTestHub(b, HubConfig{MinInterval: 1, MaxInterval: 1 << 40})
	cursor, err := h.Follow(theRun, src, nil, Now(), UntilEnded)
	if err != nil {
		b.Fatal(err)
	}
	defer cursor.Close()
	if _, err := cursor.Next(b.Context()); err != nil { // caught up
		b.Fatal(err)
	}
	src.counts()
	step := 1_000_000
	b.ReportAllocs()
	for b.Loop() {
		text := line(step, "1.5")
		src.mu.Lock()
		src.file, src.touched = append(src.file, text...), src.touched+1
		src.mu.Unlock()
		step++
		for done := false; !done; {
			item, err := cursor.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			done = item.Kind == ItemBatch
		}
	}
	requests, served := src.counts()
	b.ReportMetric(float64(served)/float64(requests), "B/request")
}

// BenchmarkStream reads a history of a million rows.
func BenchmarkStream(b *testing.B) {
	src := &fileSource{file: []byte(lines(0, 1_000_000))}
	b.SetBytes(int64(len(src.file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Stream(b.Context(), src, eventlog.Selection{}, func([]eventlog.Series) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBatcher makes batches of a log, as a poller and the history do.
func BenchmarkBatcher(b *testing.B) {
	file := []byte(lines(0, 100_000))
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		c := newBatcher(false, Position{origin: FromEventLog}, func(*Batch) {})
		if _, err := c.addChunk(file); err != nil {
			b.Fatal(err)
		}
	}
}
