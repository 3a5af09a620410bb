package statefile

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// savedFile returns a file whose pages form three levels, and its values.
func savedFile(tb testing.TB) (file []byte, saved map[string][]byte) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "search.db")
	f := open(tb, path, 1<<20)
	saved = map[string][]byte{}
	for i := range 60 {
		id := strconv.Itoa(i)
		saved[id] = sample(i)
		save(tb, f, time.Now(), Change{"v", id, saved[id]})
	}
	closeFile(tb, f)
	file, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return file, saved
}

// useDamaged opens a file, reads all of it and writes to it. Every valid value that it reads
// must be one of the saved ones.
func useDamaged(t *testing.T, file []byte, saved map[string][]byte) (read int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "search.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, path, 1<<20)
	err := f.Load("v", func(id string, value []byte) {
		if read++; isValid(value) && !bytes.Equal(saved[id], value) {
			t.Errorf("value %s differs from the saved one", id)
		}
	})
	for round := range 2 { // after an error, the file is not used any more
		var changes []Change
		for i := range 20 {
			changes = append(changes, Change{"v", strconv.Itoa(i + 10*round), nil}, Change{"v", "new" + strconv.Itoa(i), sample(i + round)})
		}
		if err == nil {
			err = f.Save(changes, time.Now())
		}
	}
	if err == nil {
		_ = f.Close()
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
func TestOpen_ReplacesAFileWithInconsistentPages(t *testing.T) {
	file, saved := savedFile(t)
	if n := useDamaged(t, file, saved); n != len(saved) {
		t.Fatalf("%d of %d values of an undamaged file", n, len(saved))
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
				t.Errorf("%d values of a damaged file", n)
			}
		})
	}
}

// FuzzFile damages a file anywhere: it must be used or replaced, without hanging.
func FuzzFile(f *testing.F) {
	file, saved := savedFile(f)
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
