package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search/searchtest"
)

// SDKs log to runs, end and reopen them, and other runs are renamed, deleted and restored.
// Meanwhile the responses for unchanged runs must agree with the oracle; after the changes,
// those for all runs.
func TestSearch_WhileRunsOfRealViewersChange(t *testing.T) {
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(21, 22))
			c := newChanging(t, rng, version)
			done := make(chan error, 1)
			ctx, stop := context.WithCancel(t.Context())
			go func() { done <- c.change(ctx, rand.New(rand.NewPCG(23, 24))) }()
			for searches := 0; searches < randomFilters(t) || len(done) == 0; searches++ {
				c.searchMeanwhile(t, rng)
				if t.Failed() {
					break
				}
			}
			stop()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			known, reopened := slices.Concat(c.still, c.moved), []searchtest.Run(nil)
			for key, run := range c.trained {
				if r := oracleRun(run, version); strings.HasPrefix(key, "again") && version == realviewer.V072 {
					reopened = append(reopened, r) // its list keeps their first end status, so they are refreshed every ten minutes only
				} else {
					known = append(known, r)
				}
			}
			awaitAgreement(t, c.s, c.oracle, rng, known)
			awaitAgreement(t, mustStart(t, "--viewer="+c.url), c.oracle, rng, slices.Concat(known, reopened))
		})
	}
}

// changing is a Viewer whose runs change.
type changing struct {
	s       *server
	oracle  *searchtest.Oracle
	url     string // of the Viewer
	trainer *realviewer.Trainer
	still   []searchtest.Run // not changed by the test
	moved   []searchtest.Run // renamed, deleted and restored; their logs do not change
	trained map[string]realviewer.Run
	canMove bool
}

// changingKeys are the runs of the SDK. grow1 and grow2 grow; again1 and again2 are ended and
// reopened.
var changingKeys = []string{"grow1", "grow2", "again1", "again2"}

func newChanging(t *testing.T, rng *rand.Rand, version realviewer.Version) *changing {
	t.Helper()
	install, storage := realviewer.Require(t, version), t.TempDir()
	c := &changing{oracle: searchtest.NewOracle(t), trained: map[string]realviewer.Run{}, canMove: version == realviewer.V072}
	for i := range 30 {
		r := copiedRun(t, writeRandomRun(t, rng, storage, version, realviewer.RunSpec{
			Name: fmt.Sprintf("n%d", i/10), Created: time.Now().Add(time.Duration(i-60) * time.Second),
		}), version)
		if i%3 == 0 {
			c.moved = append(c.moved, r)
		} else {
			c.still = append(c.still, r)
		}
	}
	var err error
	if c.trainer, err = realviewer.StartTrainer(t.Context(), install, storage); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.trainer.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, key := range changingKeys {
		if c.trained[key], err = c.trainer.Open(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	c.url = realviewer.MustStart(t, install, realviewer.Options{Storage: storage}).URL()
	c.s = mustStart(t, "--viewer="+c.url)
	return c
}

// copiedRun is a copy of a run for the oracle, which is not affected by changes of the run.
func copiedRun(t *testing.T, run realviewer.Run, version realviewer.Version) searchtest.Run {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(run.Dir)); err != nil {
		t.Fatal(err)
	}
	r := oracleRun(run, version)
	r.Dir, r.EventFile = dir, filepath.Join(dir, filepath.Base(run.EventFile))
	return r
}

// oddCells are values that are logged to growing runs.
var oddCells = []string{
	`{"loss": 0.5, "a.b.c": 1}`, `{"loss": NaN, "epoch": 3}`, `{"loss": Infinity, "mixed": "text"}`, `{"loss": -Infinity}`,
	`{"mixed": 1152921504606846977}`, `{"flag": true, "train/loss": -2.25}`, `{"say \"x\"": 3, "über": null}`,
}

// change makes a number of random changes, then restores deleted runs and ends running ones.
// It stops early with an error if ctx is done.
func (c *changing) change(ctx context.Context, rng *rand.Rand) error {
	bin := map[string]bool{}
	for step := range int64(120) {
		var err error
		r := c.moved[rng.IntN(len(c.moved))]
		switch key := changingKeys[rng.IntN(len(changingKeys))]; rng.IntN(4) {
		case 0, 1:
			err = c.trainer.Log(ctx, key, step+1, oddCells[rng.IntN(len(oddCells))])
		case 2:
			if key == "again1" || key == "again2" {
				if err = c.trainer.Finish(ctx, key, []string{"finished", "failed"}[rng.IntN(2)]); err == nil {
					_, err = c.trainer.Reopen(ctx, key, c.trained[key])
				}
			}
		case 3:
			err = c.touch(ctx, r.ID, bin, rng)
		}
		if err != nil {
			return fmt.Errorf("change %d: %w", step, err)
		}
	}
	for id := range bin {
		if err := c.restore(ctx, id); err != nil {
			return err
		}
	}
	for _, key := range changingKeys {
		if err := c.trainer.Finish(ctx, key, "interrupted"); err != nil {
			return err
		}
	}
	return nil
}

// touch renames, deletes or restores a run over the API of the server.
func (c *changing) touch(ctx context.Context, id string, bin map[string]bool, rng *rand.Rand) error {
	switch {
	case bin[id]:
		delete(bin, id)
		return c.restore(ctx, id)
	case rng.IntN(2) == 0:
		bin[id] = true
		resp, err := c.s.experiments.DeleteExperiments(ctx, &runicornapiv1.DeleteExperimentsRequest{RunIds: []string{id}})
		if err == nil && resp.GetResults()[0].GetError() != nil {
			err = fmt.Errorf("delete %s: %v", id, resp.GetResults()[0].GetError())
		}
		return err
	case c.canMove:
		_, err := c.s.experiments.UpdateExperiment(ctx, &runicornapiv1.UpdateExperimentRequest{
			Experiment: &runicornapiv1.Experiment{RunId: id, Path: fmt.Sprintf("moved/%d", rng.IntN(5))}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"path"}},
		})
		return err
	}
	return nil
}

func (c *changing) restore(ctx context.Context, id string) error {
	resp, err := c.s.experiments.RestoreExperiments(ctx, &runicornapiv1.RestoreExperimentsRequest{RunIds: []string{id}})
	if err == nil && resp.GetResults()[0].GetError() != nil {
		err = fmt.Errorf("restore %s: %v", id, resp.GetResults()[0].GetError())
	}
	return err
}

// searchMeanwhile checks a response for the unchanged runs.
func (c *changing) searchMeanwhile(t *testing.T, rng *rand.Rand) {
	t.Helper()
	term, order := searchtest.RandomTerm(rng, searchtest.Names, 2), searchtest.RandomOrder(rng, searchtest.Names)
	resp, err := c.s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Filter: term.Text, OrderBy: order.Text, PageSize: 1000})
	if err != nil {
		t.Fatalf("%s: %v", term.Text, err)
	}
	got := slices.DeleteFunc(runIDs(resp), func(id string) bool {
		return !slices.ContainsFunc(c.still, func(r searchtest.Run) bool { return r.ID == id })
	})
	if want := c.oracle.Expect(t, c.still, term, order); !slices.Equal(got, want) {
		t.Errorf("filter %s\norder %s\ngot  %v\nwant %v", term.Text, order.Text, got, want)
	}
}

// awaitAgreement repeats searches until they agree with the oracle: parts that are requested
// for the first time are read in the background.
func awaitAgreement(t *testing.T, s *server, oracle *searchtest.Oracle, rng *rand.Rand, all []searchtest.Run) {
	t.Helper()
	ours := map[string]bool{}
	for _, r := range all {
		ours[r.ID] = true
	}
	for range randomFilters(t) {
		term := searchtest.RandomTerm(rng, searchtest.Names, 1)
		awaitAnswer(t, s, term.Text, ours, oracle.Expect(t, all, term, searchtest.ByID()))
	}
}

// answerLimit is how long one search may disagree: runs are refreshed within the Viewer's
// share, which takes seconds on an idle machine.
const answerLimit = time.Minute

// awaitAnswer repeats a search until its answer is complete and has the wanted runs of ours.
func awaitAnswer(t *testing.T, s *server, filter string, ours map[string]bool, want []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
	defer cancel()
	var last []string
	for {
		resp, err := s.experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Filter: filter, OrderBy: "run_id", PageSize: 1000})
		if err != nil {
			t.Fatalf("%v\nfilter %s\ngot  %v\nwant %v", err, filter, last, want)
		}
		last = slices.DeleteFunc(runIDs(resp), func(id string) bool { return !ours[id] }) // other runs exist too
		if slices.Equal(last, want) && resp.GetComplete() {
			return
		}
	}
}
