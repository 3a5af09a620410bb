package search

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	berrors "go.etcd.io/bbolt/errors"

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

func newTestStore(t *testing.T, path string, maxBytes int64) *store {
	t.Helper()
	s, err := openStore(path, maxBytes, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func loadAll(t *testing.T, s *store, viewer string) map[string]*Record {
	t.Helper()
	got := map[string]*Record{}
	if err := s.load(viewer, share, func(id string, r *Record) { got[id] = r }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestStore_KeepsRecordsBetweenRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "search.db")
	s := newTestStore(t, path, 1<<20)
	a, b := sampleRecord(1), sampleRecord(2)
	if err := s.save([]stored{{"http://v", "a", a}, {"http://v", "b", b}, {"http://v2", "a", b}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.save([]stored{{"http://v", "b", nil}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	s = newTestStore(t, path, 1<<20)
	defer s.close()
	if got := loadAll(t, s, "http://v"); len(got) != 1 || !reflect.DeepEqual(got["a"], a) {
		t.Errorf("got %+v, want a alone: %+v", got, a)
	}
}

func TestStore_FailsToOpenWhileAnotherProcessHasIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "search.db")
	s := newTestStore(t, path, 1<<20)
	defer s.close()
	if _, err := openStore(path, 1<<20, slog.New(slog.DiscardHandler)); !errors.Is(err, berrors.ErrTimeout) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestStore_DeletesTheOldestRecordsBeyondItsBound(t *testing.T) {
	s := newTestStore(t, filepath.Join(t.TempDir(), "search.db"), 50_000)
	defer s.close()
	for i := range 200 {
		if err := s.save([]stored{{"v", strconv.Itoa(i), sampleRecord(i)}}, time.Unix(1700000400, 0)); err != nil {
			t.Fatal(err)
		}
	}
	got := loadAll(t, s, "v")
	if s.bytes > 50_000 || len(got) < 20 || got["199"] == nil || got["0"] != nil {
		t.Errorf("%d bytes, %d records", s.bytes, len(got))
	}
}

// Files are damaged everywhere. Each record that is loaded must be one of the saved ones.
func TestStore_LoadsNoDamagedRecords(t *testing.T) {
	whole, saved := savedStore(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		damaged := bytes.Clone(whole)
		switch i % 4 {
		case 0:
			damaged = damaged[:rng.IntN(len(damaged))]
		case 1:
			copy(damaged[rng.IntN(len(damaged)):], make([]byte, 4096))
		default:
			for range 1 << (i % 9) {
				damaged[rng.IntN(len(damaged))] ^= 1 << rng.IntN(8)
			}
		}
		useDamaged(t, damaged, saved)
	}
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
