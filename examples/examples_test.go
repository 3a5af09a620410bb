package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestClients_InFrontOfARealViewer tails a run that logs with all clients, whose
// connections fail in the middle, and reads histories and an error.
func TestClients_InFrontOfARealViewer(t *testing.T) {
	t.Parallel()
	install := realviewer.Require(t, realviewer.V072)
	all := clients(t)
	seeded, err := realviewer.StartSeeded(t.Context(), install, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := seeded.Close(); err != nil {
			t.Errorf("close the Viewer: %v", err)
		}
	})
	srv := startServer(t, "--viewer="+seeded.URL(), "--end-grace=1s", "--viewer-share=1")

	for _, key := range []string{realviewer.KeyNaN, realviewer.KeyRewrites, realviewer.KeyBackfill, realviewer.KeyBasic} {
		run := seeded.Manifest.Runs[key]
		file := readLog(t, run.EventFile)
		for _, c := range all {
			t.Run("history of "+key+" in "+c.name, func(t *testing.T) {
				r := c.start(t, srv, "history", run.RunID)
				r.rest()
				r.got.compare(t, file)
			})
		}
	}
	for _, c := range all {
		t.Run("list in "+c.name, func(t *testing.T) { checkList(t, c.start(t, srv, "list").rest(), seeded.Manifest.RunIDs()) })
		t.Run("error in "+c.name, func(t *testing.T) { checkError(t, c.start(t, srv, "error").rest()) })
	}
	t.Run("tails", func(t *testing.T) { tailHeld(t, srv, all, seeded) })
}

// tailHeld logs to a run while all clients tail it through a proxy. Each drops its
// connection after its fourth message, which follows the history; later the proxy
// injects all other faults.
func tailHeld(t *testing.T, srv server, all []client, seeded *realviewer.Seeded) {
	t.Helper()
	run := seeded.Manifest.Runs[realviewer.KeyHeld]
	step := int64(0)
	log := func(lines int) int {
		t.Helper()
		for range lines {
			step++
			special := []string{"NaN", "Infinity", "-Infinity", strconv.FormatFloat(1/float64(step), 'g', -1, 64)}[step%4]
			cells := fmt.Sprintf(`{"loss": %s, "count": %d, "λ/学习率": 1e-%d}`, special, step, step)
			if err := seeded.Trainer.Log(t.Context(), realviewer.KeyHeld, step-step/5, cells); err != nil { // every fifth repeats a step
				t.Fatal(err)
			}
		}
		return readLog(t, run.EventFile).count()
	}
	total := log(20)
	proxy := startProxy(t, srv)
	var tails []*running
	for _, c := range all {
		tails = append(tails, c.start(t, proxy.server, "--cut-after", "4", "tail", run.RunID))
	}
	const before = 4 // rounds: by then the clients have dropped their connections and resumed
	for round := range before + len(faults) + 1 {
		for _, r := range tails {
			r.record(total)
		}
		if i := round - before; i >= 0 && i < len(faults) {
			t.Log(faults[i].name)
			faults[i].do(proxy)
		}
		total = log(5)
	}
	if err := seeded.Trainer.Finish(t.Context(), realviewer.KeyHeld, "finished"); err != nil {
		t.Fatal(err)
	}
	for _, r := range tails {
		r.rest()
		r.got.compare(t, readLog(t, run.EventFile))
	}
	checkCuts(t, srv, len(all), 1+len(faults))
}

// TestClients_WithTheDemo tails the demo's live run beyond the points that it had
// logged at the start.
func TestClients_WithTheDemo(t *testing.T) {
	t.Parallel()
	all := clients(t)
	srv := startServer(t, "--demo")
	run := liveRun(t, srv)
	enough := run.file(t).count() + 40
	var tails []*running
	for _, c := range all {
		tails = append(tails, c.start(t, srv, "--cut-after", "3", "--points", strconv.Itoa(enough), "tail", run.id))
	}
	for _, r := range tails {
		r.rest()
		if n := r.got.count(); n != enough {
			t.Errorf("%s printed %d points, want %d", r.name, n, enough)
		}
		r.got.compareBeginning(t, run.file(t))
	}
	checkCuts(t, srv, len(all), 1)
	for _, c := range all {
		r := c.start(t, srv, "history", run.id)
		if r.rest(); r.got.count() < enough {
			t.Errorf("%s: the history has %d points", r.name, r.got.count())
		}
		r.got.compareBeginning(t, run.file(t))
		checkList(t, c.start(t, srv, "list").rest(), []string{run.id})
		checkError(t, c.start(t, srv, "error").rest())
		if c.name == "python" {
			checkNotebook(t, c, srv, run.id)
		}
	}
}

// checkCuts checks that every tail has opened a further connection for each cut. On a
// busy machine there may be more, because a client may miss heartbeats.
func checkCuts(t *testing.T, srv server, tails, cuts int) {
	t.Helper()
	text := get(t, "http://"+srv.httpAddr+"/metrics")
	started := regexp.MustCompile(`(?m)^grpc_server_started_total\{.*grpc_method="TailMetrics".*\} (\d+)$`).FindSubmatch(text)
	if started == nil {
		t.Fatal("no TailMetrics among the server's metrics")
	}
	calls, err := strconv.Atoi(string(started[1]))
	if want := (1 + cuts) * tails; err != nil || calls < want {
		t.Errorf("%d tails made %s calls, want %d", tails, started[1], want)
	}
}

func checkList(t *testing.T, printed []line, want []string) {
	t.Helper()
	var ids []string
	for _, l := range printed {
		ids = append(ids, l.RunID)
		if !strings.HasPrefix(l.Status, "EXPERIMENT_STATUS_") {
			t.Errorf("%s has status %q", l.RunID, l.Status)
		}
	}
	for _, id := range want {
		if !slices.Contains(ids, id) {
			t.Errorf("the list lacks %s", id)
		}
	}
}

func checkError(t *testing.T, printed []line) {
	t.Helper()
	if len(printed) != 1 || printed[0].Code != "NOT_FOUND" || printed[0].Reason != "RUN_NOT_FOUND" ||
		printed[0].Domain != "runicorn-grpc" || printed[0].Metadata["run_id"] != "20200101_000000_abcdef" {
		t.Errorf("the error is %+v", printed)
	}
}

// checkNotebook runs the notebook, and checks that its picture is valid.
func checkNotebook(t *testing.T, c client, srv server, run string) {
	t.Helper()
	picture := filepath.Join(t.TempDir(), "picture.png")
	c.call = append(slices.Clone(c.call[:len(c.call)-1]), "notebook.py")
	out, err := c.command(srv.grpcAddr, run, picture, "500").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("train/loss")) {
		t.Fatalf("the notebook: %v\n%s", err, out)
	}
	file, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := png.Decode(file); err != nil {
		t.Errorf("the notebook's picture: %v", err)
	}
}

func readLog(t *testing.T, path string) points {
	t.Helper()
	log, err := realviewer.ReadLog(path)
	if err != nil {
		t.Fatal(err)
	}
	return logged(log.Ended())
}

// demoRun returns the live run of the demo and its Viewer.
type demoRun struct{ viewer, id string }

func liveRun(t *testing.T, srv server) demoRun {
	t.Helper()
	var list struct {
		Experiments []struct {
			RunID  string `json:"run_id"`
			Viewer string
		}
	}
	getJSON(t, "http://"+srv.httpAddr+"/v1/experiments?viewer=-&filter=status=RUNNING", &list)
	var viewers struct {
		Viewers []struct{ Viewer, URL string }
	}
	getJSON(t, "http://"+srv.httpAddr+"/v1/viewers", &viewers)
	for _, v := range viewers.Viewers {
		if len(list.Experiments) == 1 && v.Viewer == list.Experiments[0].Viewer {
			return demoRun{v.URL, list.Experiments[0].RunID}
		}
	}
	t.Fatalf("no live run in %+v of %+v", list, viewers)
	return demoRun{}
}

// file returns the current event file of the demo's Viewer.
func (r demoRun) file(t *testing.T) points {
	t.Helper()
	var detail struct {
		RunDir string `json:"run_dir"`
	}
	getJSON(t, r.viewer+"/api/runs/"+r.id, &detail)
	text := get(t, r.viewer+"/api/runs/"+r.id+"/assets/download?path="+url.QueryEscape(detail.RunDir+"/events.jsonl"))
	return logged(realviewer.ParseLog(text))
}

func getJSON(t *testing.T, address string, into any) {
	t.Helper()
	if err := json.Unmarshal(get(t, address), into); err != nil {
		t.Fatalf("GET %s: %v", address, err)
	}
}

func get(t *testing.T, address string) []byte {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v\n%s", address, resp.Status, err, text)
	}
	return text
}
