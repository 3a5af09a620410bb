package runcache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

func TestCache_ReadSinceUsesTheCachedRun(t *testing.T) {
	src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 10))}
	now := time.Unix(1000, 0)
	c := newTestCache(t, Config{})
	c.now = func() time.Time { return now }
	for _, tt := range []struct {
		name       string
		since      time.Time
		rows, asks int
	}{
		{"nothing is cached", now.Add(-time.Hour), 10, 1},
		{"it was read just then", now, 10, 0},
		{"it was read before", now.Add(time.Second), 20, 1},
		{"without a time", time.Time{}, 20, 1},
	} {
		before, _ := src.Counts()
		rows := 0
		err := c.ReadSince(t.Context(), runsourcetest.TheRun, src, tt.since, func(v *View) error {
			rows = v.Table.Rows()
			return nil
		})
		after, _ := src.Counts()
		if asks := after - before; err != nil || rows != tt.rows || min(asks, 1) != tt.asks {
			t.Errorf("%s: %d rows after %d requests, %v; want %d, %d", tt.name, rows, asks, err, tt.rows, tt.asks)
		}
		if tt.asks == 0 {
			src.Append(runsourcetest.Lines(10, 10))
		}
	}
}

func TestCache_KeepsTheNewestImagesInOrder(t *testing.T) {
	line := func(i int) string {
		return fmt.Sprintf(`{"type": "image", "data": {"key": "k", "path": "media/%d.png"}}`+"\n", i)
	}
	src := &runsourcetest.FileSource{File: []byte(line(0) + runsourcetest.Lines(0, 3) + line(1))}
	c := newTestCache(t, Config{})
	check := func(n int, first, last string) {
		t.Helper()
		err := c.ReadAny(t.Context(), runsourcetest.TheRun, src, func(v *View) error {
			if len(v.Images) != n || v.Images[0].Path != first || v.Images[n-1].Path != last {
				t.Errorf("%d images, want %d from %s to %s", len(v.Images), n, first, last)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check(2, "media/0.png", "media/1.png")
	var more strings.Builder
	for i := range maxImages {
		more.WriteString(line(i + 2))
	}
	src.Append(more.String())
	check(maxImages/2+2, "media/10000.png", "media/20001.png")
}
