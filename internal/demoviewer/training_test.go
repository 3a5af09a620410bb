package demoviewer

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// bytes reads a range of a generated file.
func (t *Training) bytes(tb testing.TB, from, to int64) []byte {
	tb.Helper()
	raw := make([]byte, to-from)
	if _, err := t.ReadAt(raw, from); err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestTraining_SizeMatchesTheGeneratedBytes(t *testing.T) {
	start := time.Unix(1.7e9, 0)
	for _, n := range []int64{0, 1, 9, 10, 99, 100, 499, 500, 501, 1000, 12345} {
		events := NewTraining(start, time.Second, n, true)
		size := events.Size(start)
		raw := events.bytes(t, 0, size)
		if int64(len(raw)) != size {
			t.Errorf("%d lines: %d bytes, computed %d", n, len(raw), size)
		}
		if lines := int64(bytes.Count(raw, []byte("\n"))); lines != n {
			t.Errorf("want %d lines, got %d", n, lines)
		}
	}
}

func TestTraining_ReadsAnyRange(t *testing.T) {
	events := NewTraining(time.Unix(1.7e9, 0), time.Second, 3000, true)
	whole := events.bytes(t, 0, events.Size(time.Unix(1.7e9, 0)))
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		from := rnd.Int64N(int64(len(whole)))
		to := from + rnd.Int64N(int64(len(whole))-from) + 1
		if got := events.bytes(t, from, to); !bytes.Equal(got, whole[from:to]) {
			t.Fatalf("range %d..%d differs", from, to)
		}
	}
}
