package demotest

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

func TestLiveRun_GrowsWithTheClockAndEndsAfterADay(t *testing.T) {
	clock := newClock()
	b := newBed(t, Config{Clock: clock.now, Live: true})
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

func TestLiveRun_IsDeterministic(t *testing.T) {
	clock := newClock()
	a := newBed(t, Config{Clock: clock.now, Live: true, Empty: true})
	b := newBed(t, Config{Clock: clock.now, Live: true, Empty: true})
	if a.LiveRun() != b.LiveRun() || a.LiveRun() == "" {
		t.Fatalf("ids %q and %q", a.LiveRun(), b.LiveRun())
	}
	path := "/api/runs/" + a.LiveRun() + "/metrics_step"
	if !bytes.Equal(a.ask("GET", path, "").body, b.ask("GET", path, "").body) {
		t.Error("tables differ")
	}
}

func TestLiveRun_DoesNotGrowAfterItWasStopped(t *testing.T) {
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

func TestAddBigRun_ServesRangesQuickly(t *testing.T) {
	b := newBed(t, Config{Empty: true})
	id := b.AddBigRun(1_000_000)
	detail := get[struct{ Metrics string }](b, "/api/runs/"+id)
	tail := b.ask("GET", "/api/runs/"+id+"/assets/download?path="+detail.Metrics, "", "Range", "bytes=-400")
	lines := bytes.Split(bytes.TrimSpace(tail.body), []byte("\n"))
	var last struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(demoviewer.NullNonFinite(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if got := string(last.Data["global_step"]); tail.status != 206 || got != "1000000" {
		t.Errorf("status %d, last step %s", tail.status, got)
	}
}
