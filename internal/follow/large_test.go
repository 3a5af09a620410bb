package follow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// The client resumes within the line, at every position at which a batch ends.
func TestFollow_LineLargerThanABatch(t *testing.T) {
	const cells = 3*runsource.BatchPoints + 17
	var b strings.Builder
	b.WriteString(`{"type":"metrics","data":{"global_step":1`)
	for i := range cells {
		fmt.Fprintf(&b, `,"m%05d":%d`, i, i)
	}
	b.WriteString("}}\n")
	for _, around := range []int{3, 30_000} { // in the window, and in the history
		synctest.Test(t, func(t *testing.T) {
			src := newLiveSource(runsourcetest.Lines(0, 3) + b.String() + runsourcetest.Lines(3, around))
			h := newTestHub(t, HubConfig{})
			all := follow(t, h, src, runsource.Beginning(), UntilEnded)
			var positions []runsource.Position
			var counts []int
			for len(all.trace) == 0 {
				item, err := all.cursor.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				all.record(item)
				positions, counts = append(positions, item.Position), append(counts, len(all.points))
			}
			if len(all.points) != 3+cells+around || len(positions) < 4 {
				t.Fatalf("%d points in %d batches", len(all.points), all.batches)
			}
			for i, at := range positions[1:min(5, len(positions))] {
				late := follow(t, newTestHub(t, HubConfig{}), src, at, UntilEnded)
				late.wait(3 * time.Second)
				if !slices.Equal(all.points[counts[i+1]:], late.points) {
					t.Fatalf("resumed at %+v: %d points, want %d", at, len(late.points), len(all.points)-counts[i+1])
				}
			}
		})
	}
}
