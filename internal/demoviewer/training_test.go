package demoviewer

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bytes reads a whole generated file.
func (t *training) bytes(tb testing.TB, from, to int64) []byte {
	tb.Helper()
	var buf bytes.Buffer
	if err := t.writeRange(&buf, from, to); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func TestGeneratedEventsHaveTheSizeThatIsComputed(t *testing.T) {
	start := newClock().at
	for _, n := range []int64{0, 1, 9, 10, 99, 100, 499, 500, 501, 1000, 12345} {
		events := newTraining(start, time.Second, n, 7, true)
		size := events.size(start)
		raw := events.bytes(t, 0, size)
		if int64(len(raw)) != size {
			t.Errorf("%d lines: %d bytes, computed %d", n, len(raw), size)
		}
		if lines := int64(bytes.Count(raw, []byte("\n"))); lines != n {
			t.Errorf("want %d lines, got %d", n, lines)
		}
	}
}

func TestAnyRangeOfGeneratedEventsIsThatPartOfTheFile(t *testing.T) {
	events := newTraining(newClock().at, time.Second, 3000, 7, true)
	whole := events.bytes(t, 0, events.size(newClock().at))
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		from := rnd.Int64N(int64(len(whole)))
		to := from + rnd.Int64N(int64(len(whole))-from) + 1
		if got := events.bytes(t, from, to); !bytes.Equal(got, whole[from:to]) {
			t.Fatalf("range %d..%d differs", from, to)
		}
	}
}

func TestTheTableOfGeneratedEventsIsWhatMergingThemGives(t *testing.T) {
	for _, n := range []int64{0, 5, 30, 700} {
		events := newTraining(newClock().at, time.Second, n, 3, true)
		merged := mergeLines(events.bytes(t, 0, events.size(newClock().at)))
		direct := events.table(newClock().at)
		if diff := cmp.Diff(dump(merged), dump(direct)); diff != "" {
			t.Errorf("%d lines: merged and direct table differ:\n%s", n, diff)
		}
	}
}

// dump makes a table comparable.
func dump(t table) [][]string {
	out := [][]string{t.columns}
	for i := range t.rows {
		var cells []string
		for _, cell := range t.row(i) {
			cells = append(cells, string(cell))
		}
		out = append(out, cells)
	}
	return out
}

func TestALiveRunGrowsWithTheClockAndEndsAfterADay(t *testing.T) {
	clock := newClock()
	b := newBed(t, Config{Clock: clock.now, Live: true, Seed: 5})
	id := b.LiveRun()
	detail := get[struct{ Status, Metrics string }](b, "/api/runs/"+id)
	if detail.Status != "running" {
		t.Fatalf("status %q", detail.Status)
	}
	file := "/api/runs/" + id + "/assets/download?path=" + detail.Metrics
	before := b.ask("GET", file, "").body
	clock.advance(time.Second)
	after := b.ask("GET", file, "").body
	if !bytes.HasPrefix(after, before) || bytes.Count(after[len(before):], []byte("\n")) < 2 {
		t.Errorf("after a second: %d bytes, before %d", len(after), len(before))
	}
	for _, token := range []string{"NaN", "Infinity", "-Infinity", `"stage": "valid"`, `"val/accuracy"`} {
		if !bytes.Contains(after, []byte(token)) {
			t.Errorf("the live run has no %s", token)
		}
	}
	clock.advance(25 * time.Hour)
	if status := get[struct{ Status string }](b, "/api/runs/"+id).Status; status != "finished" {
		t.Errorf("after a day: %q", status)
	}
	end := b.ask("GET", file, "", "Range", "bytes=0-0").header.Get("Content-Range")
	clock.advance(time.Hour)
	if later := b.ask("GET", file, "", "Range", "bytes=0-0").header.Get("Content-Range"); later != end {
		t.Errorf("grew after its end: %s, then %s", end, later)
	}
}

func TestEqualSeedsAndClocksGiveEqualLiveRuns(t *testing.T) {
	clock := newClock()
	a := newBed(t, Config{Clock: clock.now, Live: true, Seed: 9, Empty: true})
	b := newBed(t, Config{Clock: clock.now, Live: true, Seed: 9, Empty: true})
	if a.LiveRun() != b.LiveRun() || a.LiveRun() == "" {
		t.Fatalf("ids %q and %q", a.LiveRun(), b.LiveRun())
	}
	path := "/api/runs/" + a.LiveRun() + "/metrics_step"
	if !bytes.Equal(a.ask("GET", path, "").body, b.ask("GET", path, "").body) {
		t.Error("tables differ")
	}
}

func TestAStoppedLiveRunStaysAsItIs(t *testing.T) {
	clock := newClock()
	b := newBed(t, Config{Clock: clock.now, Live: true})
	id := b.LiveRun()
	if err := b.SetStatus(id, "failed"); err != nil {
		t.Fatal(err)
	}
	before := b.ask("GET", "/api/runs/"+id+"/metrics_step", "")
	clock.advance(time.Minute)
	after := b.ask("GET", "/api/runs/"+id+"/metrics_step", "")
	if !bytes.Equal(before.body, after.body) {
		t.Error("the table of a stopped run changed")
	}
}

func TestAMillionRowsAreServedByRangeAtOnce(t *testing.T) {
	b := newBed(t, Config{Empty: true})
	id := b.AddBigRun(1_000_000)
	detail := get[struct{ Metrics string }](b, "/api/runs/"+id)
	tail := b.ask("GET", "/api/runs/"+id+"/assets/download?path="+detail.Metrics, "", "Range", "bytes=-400")
	lines := bytes.Split(bytes.TrimSpace(tail.body), []byte("\n"))
	var last struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(nullNonFinite(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if got := string(last.Data["global_step"]); tail.status != 206 || got != "1000000" {
		t.Errorf("status %d, last step %s", tail.status, got)
	}
}
