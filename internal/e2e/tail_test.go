package e2e

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// How hard tails are tried: a little here, long and with many clients by
// bench/exact.sh.
var (
	tailClients = flag.Int("tail-clients", 8, "tails of a run that grows, half of which drop and resume")
	tailKills   = flag.Int("tail-kills", 3, "how often its Viewer is killed meanwhile")
	tailPause   = flag.Duration("tail-pause", 2*time.Second, "how long the Viewer lives each time")
	tailDrop    = flag.Duration("tail-drop", time.Second, "how long the tails that drop stay, on average")
)

// tailTimeout is enough for all that tails wait for at one life of a Viewer.
const tailTimeout = 20 * time.Second

// quickTails are flags with which tests need not wait for intervals.
var quickTails = []string{"--poll-min=50ms", "--poll-max=300ms", "--end-grace=1500ms", "--viewer-share=1"}

// TestTailMetrics_WhileTheViewerIsKilled has a run that grows while its Viewer is killed
// and restarted, and clients that drop and resume by token on either of two servers. On
// 0.6 and 0.7 each client ends with exactly the points of the event file; on 0.5.3 with
// the last value of each cell.
func TestTailMetrics_WhileTheViewerIsKilled(t *testing.T) {
	t.Parallel()
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			seeded := ownSeeded(t, version)
			flags := append([]string{"--viewer=" + seeded.URL()}, quickTails...)
			servers := []*server{mustStart(t, flags...), mustStart(t, flags...)}
			run := seeded.Manifest.Runs[realviewer.KeyHeld]
			lives := *tailKills + 1
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(lives)*(*tailPause+tailTimeout))
			defer cancel()
			var working sync.WaitGroup
			clients := make([]*tailer, *tailClients)
			for i := range clients {
				clients[i] = &tailer{runID: run.RunID, random: rand.New(rand.NewPCG(uint64(i), 5)), drops: i%2 == 1, isExact: version.HasPaths()} //nolint:gosec // an index
				working.Go(func() { clients[i].err = clients[i].follow(ctx, servers) })
			}
			isEnough := make(chan struct{})
			working.Go(func() {
				defer close(isEnough)
				killAndRestart(ctx, t, seeded)
			})
			lines := grow(ctx, t, seeded, run, isEnough)
			working.Wait()
			resumes := 0
			for i, c := range clients {
				resumes += c.resumes
				switch {
				case c.err != nil:
					t.Errorf("client %d: %v", i, c.err)
				case version.HasPaths():
					c.wantLog(t, run.EventFile)
				default:
					c.wantTable(t, seeded.URL())
				}
			}
			t.Logf("%d lines, %d tails on %d servers, %d resumes, %d kills of the Viewer", lines, len(clients), len(servers), resumes, *tailKills)
			if version.HasPaths() {
				wantNoShortStream(t, servers[0], seeded)
			}
		})
	}
}

// ownSeeded starts a seeded Viewer that the test may kill.
func ownSeeded(t *testing.T, version realviewer.Version) *realviewer.Seeded {
	t.Helper()
	extra := map[string]realviewer.RunSpec{}
	if version.HasPaths() {
		extra["long"] = realviewer.RunSpec{Project: "vision", Name: "long", Lines: realviewer.Curve(time.Now(), 100_000, "loss", "accuracy")}
	}
	seeded, err := realviewer.StartSeeded(t.Context(), realviewer.Require(t, version), extra)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := seeded.Close(); err != nil {
			t.Error(err)
		}
	})
	return seeded
}

// killAndRestart ends the Viewer as a crash does, now and then.
func killAndRestart(ctx context.Context, t *testing.T, seeded *realviewer.Seeded) {
	for kills := 0; ; kills++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(*tailPause):
		}
		if kills == *tailKills {
			return
		}
		if err := errors.Join(seeded.Kill(), seeded.Restart(ctx)); err != nil {
			t.Errorf("kill and restart the Viewer: %v", err)
			return
		}
	}
}

// grow writes 200 lines a second to a run as no training should, until it is
// enough, and finishes it. What the SDK would
// not do is written past it: on 0.5.3 only whole lines, for a half one that the
// Viewer sees is lost to it.
func grow(ctx context.Context, t *testing.T, seeded *realviewer.Seeded, run realviewer.Run, isEnough <-chan struct{}) (lines int) {
	t.Helper()
	isExact := seeded.Version().HasPaths()
	if err := seeded.Trainer.Log(ctx, realviewer.KeyHeld, 0, `{"loss": 1.5, "first": true}`); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(run.EventFile, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	random := rand.New(rand.NewPCG(3, 4))
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	rest := ""
	for step := 1; ; step++ {
		select {
		case <-ticker.C:
			lines += 5
		case <-isEnough:
			if _, err := file.WriteString(rest); err != nil {
				t.Fatal(err)
			}
			if err := seeded.Trainer.Finish(ctx, realviewer.KeyHeld, "finished"); err != nil {
				t.Fatal(err)
			}
			return lines
		}
		var text strings.Builder
		text.WriteString(rest)
		for i := range 5 {
			at := step*5 + i
			switch random.IntN(12) {
			case 0:
				at = random.IntN(at) // back-filled or rewritten
			case 1:
				text.WriteString("{no json\n")
			}
			loss := fmt.Sprint(random.Float64())
			if isExact && random.IntN(10) == 0 {
				loss = []string{"NaN", "Infinity", "-Infinity"}[random.IntN(3)]
			}
			late := ""
			if step > 40 {
				late = fmt.Sprintf(`"late/%d": %d, `, random.IntN(3), at)
			}
			fmt.Fprintf(&text, `{"ts": %d.5, "type": "metrics", "data": {"loss": %s, %s"global_step": %d, "time": %d.25, "stage": "train"}}`+"\n",
				1_800_000_000+step, loss, late, at, 1_800_000_000+step)
		}
		cut := text.Len()
		if isExact && random.IntN(2) == 0 {
			cut -= random.IntN(60)
		}
		if _, err := file.WriteString(text.String()[:cut]); err != nil {
			t.Fatal(err)
		}
		rest = text.String()[cut:]
	}
}

// wantNoShortStream kills the Viewer in the middle of a history.
func wantNoShortStream(t *testing.T, s *server, seeded *realviewer.Seeded) {
	t.Helper()
	stream, err := s.metrics.StreamMetrics(t.Context(), &runicornapiv1.StreamMetricsRequest{RunIds: []string{seeded.Manifest.Runs["long"].RunID}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); err != nil || m.GetBatch() == nil {
		t.Fatalf("the first message is %v, %v", m, err)
	}
	if err := seeded.Kill(); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) || m.GetTrailer() != nil:
			t.Fatalf("a cut stream ended with %v, %v", m, err)
		case err != nil:
			if reason := reasonOf(err); reason != "STREAM_CUT" && reason != "VIEWER_UNREACHABLE" {
				t.Errorf("it ended by %v", err)
			}
			return
		}
	}
}

// TestTailMetrics_AsServerSentEvents reads a finished run to its end, as a browser
// would, and reconnects.
func TestTailMetrics_AsServerSentEvents(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	run := lab.Viewer(t, realviewer.V060).Manifest.Runs[realviewer.KeyBasic]
	ctx, cancel := context.WithTimeout(t.Context(), 4*tailTimeout)
	defer cancel()
	ask := func(lastID string) *http.Response {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.httpAddr+"/v1/metrics:tail?viewer=v06&run_ids="+run.RunID, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		if lastID != "" {
			req.Header.Set("Last-Event-ID", lastID)
		}
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	var events []string
	lastID := ""
	lines := bufio.NewScanner(ask("").Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok && name != "heartbeat" {
			events = append(events, name)
		}
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			lastID = id
		}
	}
	if want := "batch caught_up end"; strings.Join(events, " ") != want {
		t.Errorf("events %q, want %s", events, want)
	}
	if resp := ask(lastID); resp.StatusCode != http.StatusNoContent {
		body, _ := io.ReadAll(resp.Body)
		t.Errorf("behind the end: %s\n%s", resp.Status, body)
	}
}
