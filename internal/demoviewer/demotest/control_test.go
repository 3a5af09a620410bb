package demotest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAppendEvents_ChangesFileAndTable(t *testing.T) {
	b := newBed(t, Config{Empty: true})
	id := b.AddRun(Run{Path: "a/b"})
	file := "/api/runs/" + id + "/assets/download?path=" + get[struct{ Metrics string }](b, "/api/runs/"+id).Metrics
	if got := b.ask("GET", file, "").status; got != 404 {
		t.Errorf("a run that logged nothing: %d, want 404", got)
	}
	for _, part := range []string{`{"type":"metrics","data":{"x":1,"global_step":1}}` + "\n", `{"type":"metr`} {
		if err := b.AppendEvents(id, []byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(b.ask("GET", file, "").body); !strings.HasSuffix(got, "\n{\"type\":\"metr") {
		t.Errorf("file %q", got)
	}
	if got := get[struct{ Total int }](b, "/api/runs/"+id+"/metrics_step").Total; got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
	if err := b.ReplaceEvents(id, []byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	if got := string(b.ask("GET", file, "").body); got != "{}\n" {
		t.Errorf("replaced file %q", got)
	}
}

func TestEdit_FailsForMissingRuns(t *testing.T) {
	b := newBed(t, Config{Live: true})
	for name, err := range map[string]error{
		"append events": b.AppendEvents("nope", nil), "replace events": b.ReplaceEvents("nope", nil),
		"append logs": b.AppendLogs("nope", nil), "set status": b.SetStatus("nope", "failed"),
		"append to a generated file": b.AppendEvents(b.LiveRun(), nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSetStatus_ChangesStatusJSON(t *testing.T) {
	b := newBed(t, Config{Empty: true})
	id := b.AddRun(Run{Path: "a", Status: "finished", Logs: []byte("one\n"), Files: map[string][]byte{"media/a.png": []byte("png")}})
	dir := get[struct {
		Dir string `json:"run_dir"`
	}](b, "/api/runs/"+id).Dir
	read := func(name string) string {
		return string(b.ask("GET", "/api/runs/"+id+"/assets/download?path="+dir+"/"+name, "").body)
	}
	if err := b.SetStatus(id, "running"); err != nil {
		t.Fatal(err)
	}
	if got := read("status.json"); !strings.Contains(got, `"running"`) || strings.Contains(got, "ended_at") {
		t.Errorf("status.json %s", got)
	}
	if err := b.AppendLogs(id, []byte("two\n")); err != nil {
		t.Fatal(err)
	}
	if got := read("logs.txt"); got != "one\ntwo\n" {
		t.Errorf("logs.txt %q", got)
	}
	if got := read("media/a.png"); got != "png" {
		t.Errorf("media %q", got)
	}
}

func TestAddRuns_ListsTwoThousandRuns(t *testing.T) {
	for _, release := range Generations() {
		b := newBed(t, Config{Generation: release, Empty: true})
		b.AddRuns(2000)
		if got := len(get[[]struct{ ID string }](b, "/api/runs")); got != 2000 {
			t.Errorf("%s: %d runs", release, got)
		}
	}
}

func TestRequests_AreCountedByRoute(t *testing.T) {
	b := newBed(t, Config{})
	for _, path := range []string{"/api/runs", "/api/runs", "/api/runs/a", "/api/runs/b", "/nope"} {
		b.ask("GET", path, "")
	}
	want := map[string]int{"GET /api/runs": 2, "GET /api/runs/{run_id}": 2, "GET *": 1, "GET /api/health": 0}
	for route, n := range want {
		if got := b.Requests(route); got != n {
			t.Errorf("%s: %d, want %d", route, got, n)
		}
	}
	if got := len(b.AllRequests()); got != 3 {
		t.Errorf("%d routes were asked, want 3", got)
	}
}

func TestRestart_ChangesTheGenerationAndKeepsTheRuns(t *testing.T) {
	b := newBed(t, Config{Generation: Gen05, Empty: true})
	id := b.AddRun(Run{Project: "p", Name: "n", Status: "finished"})
	if got := b.ask("GET", "/api/runs/"+id+"/assets", "").status; got != 404 {
		t.Errorf("0.5 answers assets with %d", got)
	}
	if err := b.Restart(Gen07); err != nil {
		t.Fatal(err)
	}
	run := get[struct{ Path string }](b, "/api/runs/"+id)
	if run.Path != "p/n" {
		t.Errorf("path %q", run.Path)
	}
	if got := b.ask("GET", "/api/runs/"+id+"/assets", "").status; got != 200 {
		t.Errorf("0.7 answers assets with %d", got)
	}
	if err := b.Restart("0.8"); err == nil {
		t.Error("an unknown release was taken")
	}
}

func TestViewer_SwitchesTheStorageRoot(t *testing.T) {
	b := newBed(t, Config{Clock: func() time.Time { return time.Unix(1e9, 0) }})
	count := func() int { return len(get[[]struct{ ID string }](b, "/api/runs")) }
	before := count()
	b.ask("POST", "/api/config/user_root_dir", `{"path":"/demo/other"}`)
	if got := count(); got != 0 {
		t.Errorf("%d runs in the new root", got)
	}
	b.ask("POST", "/api/config/user_root_dir", `{"path":"/demo/storage"}`)
	if got := count(); got != before || before == 0 {
		t.Errorf("%d runs after the way back, %d before", got, before)
	}
}

func TestViewer_ServesNoV2Routes(t *testing.T) {
	b := newBed(t, Config{Generation: Gen05})
	if got := b.ask("GET", "/api/v2/experiments", "").status; got != 501 || b.Requests("GET /api/v2/experiments") != 1 {
		t.Errorf("status %d", got)
	}
}

func TestViewer_IsSafeForConcurrentUse(t *testing.T) {
	b := newBed(t, Config{Live: true})
	id := b.AddRun(Run{Path: "a/b"})
	file := "/api/runs/" + id + "/assets/download?path=" + get[struct{ Metrics string }](b, "/api/runs/"+id).Metrics
	var group sync.WaitGroup
	for _, path := range []string{"/api/runs", file, "/api/runs/" + id + "/metrics_step", "/api/storage/stats"} {
		group.Go(func() {
			for range 10 {
				b.ask("GET", path, "")
			}
		})
	}
	for step := range 50 {
		line := fmt.Sprintf(`{"type":"metrics","data":{"x":1,"global_step":%d}}`+"\n", step)
		if err := b.AppendEvents(id, []byte(line)); err != nil {
			t.Error(err)
		}
		if err := b.SetStatus(b.LiveRun(), "running"); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
	if got := get[struct{ Total int }](b, "/api/runs/"+id+"/metrics_step").Total; got != 50 {
		t.Errorf("%d rows, want 50", got)
	}
}
