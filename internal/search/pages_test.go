package search

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"
)

// savedStore returns a state file whose pages form three levels, and its records.
func savedStore(tb testing.TB) (file []byte, saved map[string]*Record) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "search.db")
	s, err := openStore(path, 1<<20, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	saved = map[string]*Record{}
	for i := range 60 {
		saved[strconv.Itoa(i)] = sampleRecord(i)
		if err := s.save([]stored{{"v", strconv.Itoa(i), saved[strconv.Itoa(i)]}}, time.Now()); err != nil {
			tb.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		tb.Fatal(err)
	}
	if file, err = os.ReadFile(path); err != nil {
		tb.Fatal(err)
	}
	return file, saved
}

// useDamaged opens a file, reads all of it and writes to it. Every record that it reads must
// be one of the saved ones.
func useDamaged(t *testing.T, file []byte, saved map[string]*Record) (read int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "search.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openStore(path, 1<<20, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = s.load("v", share, func(id string, r *Record) {
		if read++; !reflect.DeepEqual(saved[id], r) {
			t.Errorf("record %s differs from the saved one", id)
		}
	})
	for round := range 2 { // after an error, the index is in memory only
		var changes []stored
		for i := range 20 {
			changes = append(changes, stored{"v", strconv.Itoa(i + 10*round), nil}, stored{"v", "new" + strconv.Itoa(i), sampleRecord(i + round)})
		}
		if err == nil {
			err = s.save(changes, time.Now())
		}
	}
	if err == nil {
		_ = s.close()
	}
	return read
}

// pagesOf returns the offsets of the pages with given flags.
func pagesOf(file []byte, kind uint16) (at []int) {
	for i := 0; i < len(file); i += os.Getpagesize() {
		if binary.LittleEndian.Uint16(file[i+8:]) == kind && binary.LittleEndian.Uint64(file[i:]) == uint64(i/os.Getpagesize()) {
			at = append(at, i)
		}
	}
	return at
}

// Each damage would make bbolt loop forever, or overwrite a page that is in use.
func TestStore_ReplacesAFileWithInconsistentPages(t *testing.T) {
	file, saved := savedStore(t)
	if n := useDamaged(t, file, saved); n != len(saved) {
		t.Fatalf("%d of %d records of an undamaged file", n, len(saved))
	}
	inUse := make([]byte, 8)
	binary.LittleEndian.PutUint64(inUse, uint64(pagesOf(file, leafPage)[0]/os.Getpagesize()))
	for _, tt := range []struct {
		name   string
		kind   uint16
		damage func(page []byte)
	}{
		{"a page that is its own parent", branchPage, func(p []byte) { copy(p[pageHeader+8:pageHeader+16], p[:8]) }},
		{"a page with two parents", branchPage, func(p []byte) { copy(p[pageHeader+8:pageHeader+16], p[pageHeader+element+8:]) }},
		{"an overflow of a million pages", leafPage, func(p []byte) { p[14] = 0xff }},
		{"more elements than fit", leafPage, func(p []byte) { p[10], p[11] = 0xff, 0xff }},
		{"no free list", freelistPage, func(p []byte) { p[8] = leafPage }},
		{"more free pages than fit into the list", freelistPage, func(p []byte) { p[10], p[11] = 0xff, 0xff }},
		{"a free page that is in use", freelistPage, func(p []byte) { copy(p[pageHeader:], inUse) }},
		{"a free page beyond the end", freelistPage, func(p []byte) { p[pageHeader+6] = 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			damaged := bytes.Clone(file)
			pages := pagesOf(file, tt.kind)
			if len(pages) == 0 {
				t.Fatal("the file has no such page")
			}
			for _, at := range pages {
				tt.damage(damaged[at : at+os.Getpagesize()])
			}
			if n := useDamaged(t, damaged, saved); n != 0 {
				t.Errorf("%d records of a damaged file", n)
			}
		})
	}
}

func TestStore_ReplacesAFileOfAnotherVersion(t *testing.T) {
	file, saved := savedStore(t)
	file = bytes.ReplaceAll(file, bucketName, bytes.Replace(bucketName, []byte("records"), []byte("recipes"), 1))
	if n := useDamaged(t, file, saved); n != 0 {
		t.Errorf("%d records of another version", n)
	}
}

// FuzzStore damages a file anywhere: it must be used or replaced, without hanging.
func FuzzStore(f *testing.F) {
	file, saved := savedStore(f)
	for _, kind := range []uint16{branchPage, leafPage, freelistPage} {
		for _, at := range pagesOf(file, kind) {
			f.Add(uint32(at), uint64(at/os.Getpagesize()))
			f.Add(uint32(at+8), uint64(branchPage|1<<16))
			f.Add(uint32(at+pageHeader+8), uint64(at/os.Getpagesize()))
		}
	}
	f.Fuzz(func(t *testing.T, at uint32, value uint64) {
		damaged := bytes.Clone(file)
		binary.LittleEndian.PutUint64(damaged[int(at)%(len(damaged)-8):], value)
		useDamaged(t, damaged, saved)
	})
}
