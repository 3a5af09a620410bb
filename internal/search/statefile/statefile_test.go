package statefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	berrors "go.etcd.io/bbolt/errors"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample is a value with a checksum, the time at which it was read, and 800 bytes or more.
func sample(n int) []byte {
	value := binary.LittleEndian.AppendUint64(make([]byte, crc32.Size, 1000), uint64(n))
	value = append(value, bytes.Repeat([]byte{byte(n)}, 800+n%7)...)
	binary.LittleEndian.PutUint32(value, crc32.ChecksumIEEE(value[crc32.Size:]))
	return value
}

// isValid compares the checksum of a value.
func isValid(value []byte) bool {
	return len(value) > crc32.Size+8 && binary.LittleEndian.Uint32(value) == crc32.ChecksumIEEE(value[crc32.Size:])
}

// readTime is the number of a sample, in seconds.
func readTime(value []byte) time.Time {
	if !isValid(value) {
		return time.Time{}
	}
	return time.Unix(int64(binary.LittleEndian.Uint64(value[crc32.Size:])), 0)
}

func config(path string, maxBytes int64) Config {
	return Config{Path: path, MaxBytes: maxBytes, Version: "1", ReadTime: readTime, Log: slog.New(slog.DiscardHandler)}
}

func open(tb testing.TB, path string, maxBytes int64) *File {
	tb.Helper()
	f, err := Open(config(path, maxBytes))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func save(tb testing.TB, f *File, now time.Time, changes ...Change) {
	tb.Helper()
	if err := f.Save(changes, now); err != nil {
		tb.Fatal(err)
	}
}

func closeFile(tb testing.TB, f *File) {
	tb.Helper()
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

// loadAll returns the valid values of a Viewer.
func loadAll(t *testing.T, f *File, viewer string) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	if err := f.Load(viewer, func(id string, value []byte) {
		if isValid(value) {
			got[id] = bytes.Clone(value)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFile_KeepsValuesBetweenRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "search.db")
	f := open(t, path, 1<<20)
	save(t, f, time.Now(), Change{"http://v", "a", sample(1)}, Change{"http://v", "b", sample(2)}, Change{"http://v2", "a", sample(2)})
	save(t, f, time.Now(), Change{"http://v", "b", nil})
	closeFile(t, f)
	f = open(t, path, 1<<20)
	defer closeFile(t, f)
	if got := loadAll(t, f, "http://v"); len(got) != 1 || !bytes.Equal(got["a"], sample(1)) {
		t.Errorf("got %d values, want a alone", len(got))
	}
}

func TestOpen_FailsWhileAnotherProcessHasTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "search.db")
	f := open(t, path, 1<<20)
	defer closeFile(t, f)
	if _, err := Open(config(path, 1<<20)); !errors.Is(err, berrors.ErrTimeout) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestOpen_ReplacesAFileOfAnotherVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "search.db")
	f := open(t, path, 1<<20)
	save(t, f, time.Now(), Change{"v", "a", sample(1)})
	closeFile(t, f)
	cfg := config(path, 1<<20)
	cfg.Version = "2"
	f, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFile(t, f)
	if got := loadAll(t, f, "v"); len(got) != 0 {
		t.Errorf("%d values of another version", len(got))
	}
}

func TestFile_DeletesTheOldestValuesBeyondItsBound(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "search.db"), 50_000)
	defer closeFile(t, f)
	for i := range 200 {
		save(t, f, time.Unix(300, 0), Change{"v", strconv.Itoa(i), sample(i)})
	}
	got := loadAll(t, f, "v")
	if f.bytes > 50_000 || len(got) < 20 || got["199"] == nil || got["0"] != nil {
		t.Errorf("%d bytes, %d values", f.bytes, len(got))
	}
}

// Files are damaged everywhere. Each value that is loaded must be one of the saved ones, or
// be recognizable as damaged.
func TestFile_ReadsDamagedFilesWithoutAFault(t *testing.T) {
	whole, saved := savedFile(t)
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
