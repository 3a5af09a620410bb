package e2e

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestRemote_OverARealSSHServer calls everything that RemoteService has, on each
// generation of the Viewer, with the ssh program and without. The steps of each
// chapter are a table; one that is wanted to fail names its code and reason. At
// the end no secret of any call may be in anything that the servers wrote.
func TestRemote_OverARealSSHServer(t *testing.T) {
	t.Parallel()
	labs, a, b := startRemoteLabs(t)
	out := &outcomes{cells: make(map[[2]string]string)}
	var running sync.WaitGroup // all labs concurrently, also on fewer processors: they mostly wait
	for _, l := range labs {
		running.Go(func() {
			t.Run(l.name, func(t *testing.T) {
				t.Cleanup(func() {
					if log := l.sshd.Log(); t.Failed() {
						t.Logf("the Viewer wrote:\n%s\nsshd wrote:\n%s", l.viewer.Output(), log[max(0, len(log)-8<<10):])
					}
				})
				s := &remoteStory{remoteLab: l, t: t, a: a, b: b, out: out}
				s.runSteps(t, []func() []remoteStep{
					s.readmeSteps,
					s.hostKeySteps,
					s.passwordSteps,
					s.hostSteps,
					s.sessionSteps,
					s.disconnectSteps,
					s.tailSteps,
					s.drainSteps,
					s.keySteps,
					s.agentSteps,
					s.absentServerSteps,
					s.savedConnectionSteps,
					s.outageSteps,
					s.silenceSteps,
				})
			})
		})
	}
	running.Wait()
	out.print(t, labs)
	wantNoSecrets(t, labs, out, a, b)
}

// remoteStory is what happens in one lab: a and b are two replicas of the
// server.
type remoteStory struct {
	*remoteLab
	t    *testing.T // of the lab: for what outlives a step
	a, b *server
	out  *outcomes
}

// remoteStep is a call with its outcome, or a preparation of later calls.
type remoteStep struct {
	name string
	// want is "OK", or code and reason, or several of these with " or " between
	// them. Without it the step is a preparation: it must succeed, and is not in
	// the table of outcomes.
	want string
	skip bool // in this lab
	call func(t *testing.T) error
}

// runSteps runs the steps of all chapters, each as a subtest. A preparation that
// fails, and a step that calls t.Fatal, end the story.
func (s *remoteStory) runSteps(t *testing.T, chapters []func() []remoteStep) {
	t.Helper()
	for _, chapter := range chapters {
		for _, step := range chapter() {
			if step.skip {
				continue
			}
			returned := false
			passed := t.Run(step.name, func(t *testing.T) {
				begin := time.Now()
				err := step.call(t)
				if step.want == "" && err != nil {
					t.Fatal(err)
				}
				if got := outcomeOf(err); step.want != "" {
					s.out.add(step.name, s.remoteLab, got, time.Since(begin), err)
					if !slices.Contains(strings.Split(step.want, " or "), got) {
						t.Errorf("%s (%v), want %s", got, err, step.want)
					}
				}
				returned = true
			})
			if !passed && !returned {
				t.FailNow()
			}
		}
	}
}

// on returns what is wanted of one generation, or of the others.
func (l *remoteLab) on(version realviewer.Version, want, others string) string {
	return either(l.version == version, want, others)
}

// either is a or b.
func either[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
