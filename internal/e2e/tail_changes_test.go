package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// logSteps logs a loss at steps, whose value is the step.
func (l *trainLab) logSteps(t *testing.T, key string, steps ...int) {
	t.Helper()
	for _, step := range steps {
		if err := l.trainer.Log(t.Context(), key, int64(step), fmt.Sprintf(`{"loss": %d}`, step)); err != nil {
			t.Fatal(err)
		}
	}
}

// stepLines are lines as the SDK writes them for such steps.
func stepLines(steps ...int) string {
	var text strings.Builder
	for _, step := range steps {
		fmt.Fprintf(&text, `{"ts": %d.5, "type": "metrics", "data": {"loss": %d, "global_step": %d, "time": %d.25}}`+"\n",
			1_800_000_000+step, step, step, 1_800_000_000+step)
	}
	return text.String()
}

// followsLaterRuns follows a project by filter, in which another run starts.
func (l *trainLab) followsLaterRuns(t *testing.T) {
	early, _ := l.open(t, "filtered_early")
	l.logSteps(t, "filtered_early", 1)
	c := l.tail(t, l.servers[0], &runicornapiv1.TailMetricsRequest{Filter: "filtered"})
	c.untilPoints(early.RunID, 1)
	late, _ := l.open(t, "filtered_late")
	l.logSteps(t, "filtered_late", 1, 2)
	c.untilPoints(late.RunID, 2)
	l.finish(t, "filtered_early", "finished")
	c.untilEvent(early.RunID, "end FINISHED")
	c.cancel()

	c.resume(l.servers[1])
	l.logSteps(t, "filtered_late", 3)
	l.finish(t, "filtered_late", "failed")
	c.untilEvent(late.RunID, "end FAILED")
	c.wantPoints(early.RunID, 1)
	c.wantPoints(late.RunID, 1, 2, 3)
}

// deletesAndRestores: a deleted run ends, and its token continues when it is back.
func (l *trainLab) deletesAndRestores(t *testing.T) {
	run, _ := l.open(t, "deleted")
	l.logSteps(t, "deleted", 1, 2)
	c := l.tail(t, l.servers[0], &runicornapiv1.TailMetricsRequest{RunIds: []string{run.RunID}})
	c.untilPoints(run.RunID, 2)
	c.untilEvent(run.RunID, "caught_up")
	deleted, err := l.servers[1].experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{RunIds: []string{run.RunID}})
	if err != nil || deleted.GetResults()[0].GetError().GetCode() != 0 {
		t.Fatalf("delete: %v, %v", deleted, err)
	}
	c.finish()
	if !c.has(run.RunID, "end DELETED") {
		t.Errorf("events %q", c.events)
	}
	restored, err := l.servers[1].experiments.RestoreExperiments(t.Context(), &runicornapiv1.RestoreExperimentsRequest{RunIds: []string{run.RunID}})
	if err != nil || restored.GetResults()[0].GetError().GetCode() != 0 {
		t.Fatalf("restore: %v, %v", restored, err)
	}
	l.logSteps(t, "deleted", 3)
	l.finish(t, "deleted", "finished")
	c.resume(l.servers[1])
	c.finish()
	c.wantPoints(run.RunID, 1, 2, 3)
}

// moves: a run that is moved to another path continues. Only 0.7 can do that.
func (l *trainLab) moves(t *testing.T) {
	run, _ := l.open(t, "moved")
	l.logSteps(t, "moved", 1)
	c := l.tail(t, l.servers[0], &runicornapiv1.TailMetricsRequest{RunIds: []string{run.RunID}})
	c.untilPoints(run.RunID, 1)
	l.finish(t, "moved", "finished") // the SDK would continue in the old folder
	_, err := l.servers[1].experiments.UpdateExperiment(t.Context(), &runicornapiv1.UpdateExperimentRequest{
		Experiment: &runicornapiv1.Experiment{RunId: run.RunID, Path: "elsewhere/moved"},
	})
	if l.viewer.Version() != realviewer.V072 {
		wantReason(t, err, 12, "VIEWER_LACKS_CAPABILITY")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	c.finish()
	c.wantPoints(run.RunID, 1)
	again := l.tail(t, l.servers[1], &runicornapiv1.TailMetricsRequest{RunIds: []string{run.RunID}})
	again.finish()
	again.wantPoints(run.RunID, 1)
}

// opensAgain: a run that has ended continues under its id, for clients that received its
// end and for those that follow forever. The list of 0.7.2 keeps reporting it as
// finished.
func (l *trainLab) opensAgain(t *testing.T) {
	run, _ := l.open(t, "again")
	l.logSteps(t, "again", 1, 2)
	forever := l.tail(t, l.servers[0], &runicornapiv1.TailMetricsRequest{RunIds: []string{run.RunID}, Until: runicornapiv1.TailUntil_TAIL_UNTIL_FOREVER})
	c := l.tail(t, l.servers[0], &runicornapiv1.TailMetricsRequest{RunIds: []string{run.RunID}})
	l.finish(t, "again", "finished")
	c.finish()
	forever.untilEvent(run.RunID, "FINISHED")
	if _, err := l.trainer.Reopen(t.Context(), "again", run); err != nil {
		t.Fatal(err)
	}
	l.logSteps(t, "again", 3, 4)
	c.resume(l.servers[1])
	c.untilPoints(run.RunID, 4)
	forever.untilEvent(run.RunID, "RUNNING")
	forever.untilPoints(run.RunID, 4)
	l.finish(t, "again", "failed")
	c.finish()
	for _, c := range []*eventTail{c, forever} {
		c.wantPoints(run.RunID, 1, 2, 3, 4)
	}
	if !c.has(run.RunID, "end FAILED") {
		t.Errorf("events %q", c.events)
	}
}

// growsWhileFailed: a run whose process the Viewer cannot see is failed to it, and
// does not end as long as its log grows.
func (l *trainLab) growsWhileFailed(t *testing.T) {
	process := exec.CommandContext(t.Context(), "true") // a process id that is no longer in use
	if err := process.Run(); err != nil {
		t.Fatal(err)
	}
	run, err := realviewer.WriteRun(l.storage, l.viewer.Version(), realviewer.RunSpec{
		Project: "vision", Name: "elsewhere", Status: "running", PID: process.Process.Pid,
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.viewer.Version() == realviewer.V072 { // which lists it from its next start on
		if err := l.viewer.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.viewer.AwaitRuns(t.Context(), run.RunID); err != nil {
		t.Fatal(err)
	}
	appendTo(t, run.EventFile, stepLines(1))
	c := l.tail(t, l.servers[0], &runicornapiv1.TailMetricsRequest{RunIds: []string{run.RunID}})
	var steps []int
	ticker := time.NewTicker(300 * time.Millisecond)
	defer ticker.Stop()
	for step := 2; step < 16; step++ { // for three times --end-grace
		appendTo(t, run.EventFile, stepLines(step))
		<-ticker.C
		steps = append(steps, step)
	}
	c.untilPoints(run.RunID, 1+len(steps))
	if c.has(run.RunID, "end FAILED") {
		t.Errorf("it ended while it grew: %q", c.events)
	}
	c.finish()
	c.wantPoints(run.RunID, append([]int{1}, steps...)...)
	if !c.has(run.RunID, "end FAILED") {
		t.Errorf("events %q", c.events)
	}
}

// becomesAnother writes over the log of a run: there is a reset, and never a mix.
func (l *trainLab) becomesAnother(t *testing.T) {
	for name, tt := range map[string]struct {
		log   []int
		reset string
	}{
		"cut short":                           {[]int{11, 12}, "TRUNCATED"},
		"of the same size":                    {[]int{14, 15, 16}, "REPLACED"},
		"of the same size, with the same end": {[]int{14, 12, 13}, "REPLACED"},
		"longer":                              {[]int{21, 22, 23, 24, 25}, "REPLACED"},
		"longer, with the same line at its place": {[]int{21, 22, 13, 24}, "REPLACED"},
	} {
		t.Run(name, func(t *testing.T) {
			key := strings.NewReplacer(" ", "_", ",", "").Replace(name)
			run, _ := l.open(t, key)
			l.logSteps(t, key, 11)
			if err := os.WriteFile(run.EventFile, []byte(stepLines(11, 12, 13)), 0o644); err != nil {
				t.Fatal(err)
			}
			c := l.tail(t, l.servers[0], &runicornapiv1.TailMetricsRequest{RunIds: []string{run.RunID}})
			c.untilEvent(run.RunID, "caught_up")
			dropped := l.tail(t, l.servers[1], &runicornapiv1.TailMetricsRequest{RunIds: []string{run.RunID}})
			dropped.untilEvent(run.RunID, "caught_up")
			dropped.cancel()
			if err := os.WriteFile(run.EventFile, []byte(stepLines(tt.log...)), 0o644); err != nil {
				t.Fatal(err)
			}
			c.untilEvent(run.RunID, tt.reset)
			c.untilPoints(run.RunID, len(tt.log))
			dropped.resume(l.servers[1])
			dropped.untilPoints(run.RunID, len(tt.log))
			l.finish(t, key, "finished")
			for _, c := range []*eventTail{c, dropped} {
				c.finish()
				c.wantPoints(run.RunID, tt.log...)
			}
		})
	}
}

// tearsALine writes half a line, lets the Viewer read it, and writes the rest. The
// Viewer loses that point until it starts again; on 0.6 and 0.7 a tail does not,
// and on 0.5.3 it arrives once when the Viewer shows it.
func (l *trainLab) tearsALine(t *testing.T) {
	run, _ := l.open(t, "torn")
	l.logSteps(t, "torn", 1)
	c := l.tail(t, l.servers[0], &runicornapiv1.TailMetricsRequest{RunIds: []string{run.RunID}})
	c.untilPoints(run.RunID, 1)
	inTable := func(step int64) bool {
		_, ok := tableOf(t, l.viewer.URL(), run.RunID)[position{"loss", step}]
		return ok
	}
	line := stepLines(2)
	appendTo(t, run.EventFile, line[:40])
	inTable(2) // the Viewer reads the half
	appendTo(t, run.EventFile, line[40:]+stepLines(3))
	c.until("step 3", func() bool { return strings.Contains(strings.Join(c.points[run.RunID], ","), "loss 3") })
	if !inTable(3) || inTable(2) {
		t.Errorf("the Viewer has step 2: %t, step 3: %t; it is known to lose 2", inTable(2), inTable(3))
	}
	if l.viewer.Version().HasPaths() {
		c.wantPoints(run.RunID, 1, 2, 3)
	} else {
		c.wantPoints(run.RunID, 1, 3)
		if err := l.viewer.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.untilPoints(run.RunID, 3)
		c.wantPoints(run.RunID, 1, 3, 2)
	}
	l.finish(t, "torn", "finished")
	c.finish()
	if len(c.points[run.RunID]) != 3 {
		t.Errorf("points %q", c.points[run.RunID])
	}
}

// passesOverALine follows two runs, one of which logs a line of 17 MiB.
func (l *trainLab) passesOverALine(t *testing.T) {
	good, _ := l.open(t, "long_good")
	bad, _ := l.open(t, "long_bad")
	l.logSteps(t, "long_good", 1)
	l.logSteps(t, "long_bad", 1)
	c := l.tail(t, l.servers[0], &runicornapiv1.TailMetricsRequest{RunIds: []string{good.RunID, bad.RunID}})
	c.untilPoints(bad.RunID, 1)
	appendTo(t, bad.EventFile, `{"type": "metrics", "data": {"text": "`+strings.Repeat("x", 17<<20)+`", "global_step": 2}}`+"\n")
	l.logSteps(t, "long_bad", 3)
	l.logSteps(t, "long_good", 2)
	c.untilPoints(bad.RunID, 2)
	c.untilPoints(good.RunID, 2)
	l.finish(t, "long_bad", "finished")
	l.finish(t, "long_good", "finished")
	c.finish()
	c.wantPoints(bad.RunID, 1, 3)
	c.wantPoints(good.RunID, 1, 2)
}
