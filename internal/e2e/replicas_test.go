//go:build unix

package e2e

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/faultproxy"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/replicatest"
)

const (
	replicaTails = 90
	replicaRuns  = 6
)

// requireHAProxy skips where HAProxy is not installed, which is a failure where real
// programs are required.
func requireHAProxy(t *testing.T) {
	t.Helper()
	if _, err := replicatest.Program(); err != nil {
		if os.Getenv("RUNICORN_E2E") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// failure is what happens to a cluster while its tails continue; busy is a replica that
// has some of them.
type failure struct {
	name string
	long bool // only with RUNICORN_REPLICAS=all
	do   func(ctx context.Context, c *replicatest.Cluster, busy *replicatest.Replica) error
}

var failures = []failure{
	{"kill of one", false, func(ctx context.Context, _ *replicatest.Cluster, busy *replicatest.Replica) error {
		return errors.Join(busy.Kill(), busy.Restart(ctx))
	}},
	{"kill of each", true, func(ctx context.Context, c *replicatest.Cluster, _ *replicatest.Replica) error {
		return eachReplica(ctx, c, (*replicatest.Replica).Kill)
	}},
	{"rolling SIGTERM", true, func(ctx context.Context, c *replicatest.Cluster, _ *replicatest.Replica) error {
		return eachReplica(ctx, c, (*replicatest.Replica).Stop)
	}},
	{"restart of HAProxy", true, func(ctx context.Context, c *replicatest.Cluster, _ *replicatest.Replica) error {
		return c.RestartHAProxy(ctx)
	}},
	{"a frozen replica", true, func(ctx context.Context, c *replicatest.Cluster, busy *replicatest.Replica) error {
		return errors.Join(busy.Freeze(), c.Pause(ctx, 5*replicatest.Heartbeat), busy.Thaw())
	}},
}

// eachReplica ends one replica after the other, and starts it again.
func eachReplica(ctx context.Context, c *replicatest.Cluster, end func(*replicatest.Replica) error) error {
	for _, r := range c.Replicas {
		if err := errors.Join(end(r), r.Restart(ctx), c.Pause(ctx, time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// TestReplicas_TailsAreExact sends ninety tails of six runs through HAProxy to three
// replicas. Each run is polled by one replica. Whatever ends or freezes, each tail equals
// the event file in the end. bench/replicas measures the interruptions.
func TestReplicas_TailsAreExact(t *testing.T) {
	t.Parallel()
	requireHAProxy(t)
	runs, err := replicatest.StartRuns(t.Context(), realviewer.Require(t, realviewer.V072), replicaRuns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, runs) })
	for _, f := range failures {
		if f.long && os.Getenv("RUNICORN_REPLICAS") != "all" {
			continue
		}
		t.Run(f.name, func(t *testing.T) { testFailure(t, runs, f) })
	}
}

func closeIt(t *testing.T, closer interface{ Close() error }) {
	t.Helper()
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
}

// startCluster starts three replicas.
func startCluster(t *testing.T, viewerURL string) *replicatest.Cluster {
	t.Helper()
	c, err := replicatest.Start(t.Context(), replicatest.Config{
		Binary: &binary, Source: root(), ViewerURL: viewerURL, Replicas: 3, Flags: quickTails,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("haproxy wrote:\n%s", c.Output())
		}
		closeIt(t, c)
	})
	return c
}

func testFailure(t *testing.T, runs *replicatest.Runs, f failure) {
	c := startCluster(t, runs.Viewer.URL())
	crowd, err := replicatest.Collect(t.Context(), c.Dial, runs.Runs, replicaTails)
	if err != nil {
		t.Fatal(err)
	}
	growing, stop := context.WithCancel(t.Context())
	defer stop()
	var writing sync.WaitGroup
	writing.Go(func() {
		if err := runs.Grow(growing); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); writing.Wait() })
	if err := crowd.AwaitPoints(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	pollers := 0
	for _, run := range runs.Runs {
		pollers += len(c.Pollers(run.RunID))
	}
	redispatched, down, err := c.SentElsewhere(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// One for each run, unless the machine was so busy that HAProxy sent calls to another
	// replica, or took a replica as down, which moves all its runs.
	if allowed := replicaRuns*(1+down) + redispatched; pollers < replicaRuns || pollers > allowed {
		t.Fatalf("%d runs have %d pollers, want one for each; HAProxy redispatched %d calls, and %d replicas were down",
			replicaRuns, pollers, redispatched, down)
	}
	if err := f.do(t.Context(), c, c.Pollers(runs.Runs[0].RunID)[0]); err != nil {
		t.Fatal(err)
	}
	stop()
	writing.Wait()
	wrong, err := crowd.Settle(t.Context(), runs.Runs)
	if err != nil {
		t.Fatal(err)
	}
	if wrong != 0 {
		t.Errorf("%d points are missing, twice, out of order or others", wrong)
	}
	if crowd.Resumes() == 0 {
		t.Errorf("no tail has noticed anything")
	}
	t.Logf("%d resumes", crowd.Resumes())
}

// TestReplicas_OnlyReadsAreSentTwice kills the replica that has a call in flight. A read
// is answered by another replica; a purge ends with an error, and reaches the Viewer only
// once.
func TestReplicas_OnlyReadsAreSentTwice(t *testing.T) {
	t.Parallel()
	requireHAProxy(t)
	seeded := ownSeeded(t, realviewer.V072)
	c := startCluster(t, seeded.URL())
	conn, err := c.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, conn) })
	client := runicornapiv1.NewExperimentServiceClient(conn)
	runID := seeded.Manifest.Runs[realviewer.KeyBasic].RunID

	t.Run("a read", func(t *testing.T) {
		path := "/api/environment/" + runID
		err := killWhileAsked(t, c, path, func() error {
			_, err := client.GetEnvironment(t.Context(), &runicornapiv1.GetEnvironmentRequest{RunId: runID})
			return err
		})
		if err != nil {
			t.Errorf("the read ended with %v", err)
		}
	})
	t.Run("a purge", func(t *testing.T) {
		if _, err := client.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{RunIds: []string{runID}}); err != nil {
			t.Fatal(err)
		}
		const path = "/api/runs/permanent-delete"
		err := killWhileAsked(t, c, path, func() error {
			_, err := client.PurgeExperiments(t.Context(), &runicornapiv1.PurgeExperimentsRequest{RunIds: []string{runID}})
			return err
		})
		if status.Code(err) != codes.Unavailable {
			t.Errorf("the purge ended with %v, want UNAVAILABLE", err)
		}
		sent := 0
		for _, r := range c.Replicas {
			sent += r.Upstream.Requests(http.MethodPost, path)
		}
		if sent != 1 {
			t.Errorf("the Viewer was asked %d times", sent)
		}
	})
	t.Run("pages of the HTTP side", func(t *testing.T) {
		code, body, err := c.HTTPGet(t.Context(), "/v1/viewers")
		if err != nil || code != http.StatusOK || !strings.Contains(body, `"viewer":"lab"`) {
			t.Errorf("/v1/viewers: %d %s %v", code, body, err)
		}
		if code, _, err := c.HTTPGet(t.Context(), "/metrics"); err != nil || code != http.StatusNotFound {
			t.Errorf("/metrics: %d %v", code, err)
		}
	})
}

// killWhileAsked makes a call, holds the first request for a path to the Viewer, kills
// the replica that made it, releases the request, and returns the outcome of the call.
func killWhileAsked(t *testing.T, c *replicatest.Cluster, path string, call func() error) error {
	t.Helper()
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	rules := make([]*faultproxy.Rule, len(c.Replicas))
	for i, r := range c.Replicas {
		rules[i] = &faultproxy.Rule{Path: path, Times: 1, Hold: hold, Held: make(chan struct{})}
		r.Upstream.Add(rules[i])
	}
	ended := make(chan error, 1)
	go func() { ended <- call() }()
	var asked *replicatest.Replica
	select {
	case <-rules[0].Held:
		asked = c.Replicas[0]
	case <-rules[1].Held:
		asked = c.Replicas[1]
	case <-rules[2].Held:
		asked = c.Replicas[2]
	case err := <-ended:
		t.Fatalf("the call ended before the Viewer was asked: %v", err)
	}
	if err := asked.Kill(); err != nil {
		t.Fatal(err)
	}
	release()
	err := <-ended
	if err := asked.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	return err
}
