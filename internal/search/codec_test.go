package search

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

func share(s string) string { return s }

// sampleRecord is a record with all fields set.
func sampleRecord(n int) *Record {
	r := &Record{
		Origin: runsource.FromEventLog, Start: time.Unix(1700000000, 5).UTC(), known: PartMetrics | PartSummary | PartTimes,
		identity: uint64(n), listed: 7, ended: true, headChecked: 9,
		summary:    document{{"a", filter.IntValue(1<<60 + 1)}, {"b" + keySeparator + "c", filter.TextValue("text")}},
		images:     []Image{{Key: "k", Count: 3, MaxPerStep: 2, atLast: 1, Last: Point{Step: 7, Time: 1.5}}},
		checkpoint: hashedCheckpoint{offset: 1000, head: 1, tail: 2, headLen: 512, tailLen: 512, unterminated: true, size: 1001, etag: 3},
	}
	for i := range 5 {
		m := Metric{Name: fmt.Sprintf("metric %d", i), Kind: eventlog.KindNumber}
		for step := range int64(n%7 + i) {
			m.push(Point{Step: step, Time: 1.5, Value: float64(step) * 0.5}, "")
		}
		m.push(Point{Step: 99, Value: math.Inf(1)}, "")
		r.Metrics = append(r.Metrics, m)
	}
	r.setRead(PartMetrics, time.Unix(1700000100+int64(n), 0))
	return r
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(sampleRecord(3).encode())
	f.Add((&Record{}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, text := range [][]byte{b, withChecksum(b)} {
			r, err := decodeRecord(text, share)
			if err != nil {
				continue
			}
			again, err := decodeRecord(r.encode(), share)
			if err != nil || !bytes.Equal(again.encode(), r.encode()) {
				t.Errorf("decoded again: %v\n%+v\n%+v", err, r, again)
			}
		}
	})
}

// withChecksum sets the checksum of a mutated record.
func withChecksum(b []byte) []byte {
	if len(b) < 4 {
		return b
	}
	out := bytes.Clone(b)
	sum := crcOf(out[4:])
	out[0], out[1], out[2], out[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return out
}
