// Command tensorboard measures the Time Series page of TensorBoard in front of a real Viewer.
// It sends the gRPC requests of that page in the order of TensorBoard 2.21. Run it from the
// root of the repository:
//
//	go run ./bench/tensorboard
//
// It installs the Viewer by itself (Python 3 and PyPI are needed), builds the server, and
// takes about a minute.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

var (
	ended   = flag.Int("runs", 500, "number of ended runs")
	running = flag.Int("running", 10, "number of running runs")
	rows    = flag.Int("rows", 200, "number of rows per run")
	version = flag.String("version", "0.7.2", "release of the Viewer")
)

// cards are the metrics of each run. Each has a card on the page.
var cards = []string{"train/loss", "val/acc", "lr", "grad/norm"}

func main() {
	flag.Parse()
	rig.Main("tensorboard", run)
}

func run(ctx context.Context, out io.Writer, b *rig.Bed) (err error) {
	dir := filepath.Join(b.Dir, "runs")
	var runs []realviewer.Run
	var ids []string
	for i := range *ended + *running {
		created := time.Now().Add(time.Duration(i-*ended-*running) * time.Minute)
		spec := realviewer.RunSpec{
			Project: fmt.Sprintf("project-%d", i/100), Name: fmt.Sprintf("sweep-%d", i/10), Created: created,
			Lines: realviewer.Curve(created, *rows, cards...), Summary: map[string]any{"lr": 0.1, "best": 1.0 / float64(i+1)},
		}
		if i >= *ended {
			spec.Status, spec.PID = "running", os.Getpid()
		}
		r, err := realviewer.WriteRun(dir, realviewer.Version(*version), spec)
		if err != nil {
			return err
		}
		runs, ids = append(runs, r), append(ids, r.RunID)
	}
	r, err := b.Start(ctx, realviewer.Version(*version), dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.Viewer.AwaitRuns(ctx, ids...); err != nil {
		return err
	}
	conn, err := grpc.NewClient(r.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	fmt.Fprintf(out, "Viewer %s, %d ended and %d running runs of %d rows x %d metrics\n", *version, *ended, *running, *rows, len(cards))
	m := &measurement{client: tensorboardpb.NewTensorBoardDataProviderClient(conn), out: out, rig: r, runs: runs}
	return m.all(ctx)
}

// measurement sends requests as TensorBoard does, and measures them.
type measurement struct {
	client tensorboardpb.TensorBoardDataProviderClient
	out    io.Writer
	rig    *rig.Rig
	runs   []realviewer.Run
}

func (m *measurement) all(ctx context.Context) error {
	if err := m.measure("cold page (goal: 8s)", 3, 8, func() error { return m.page(ctx) }); err != nil {
		return err
	}
	if err := m.measure("warm page (goal: 1s)", 0, 2, func() error { return m.page(ctx) }); err != nil {
		return err
	}
	if err := m.measure("warm card of all runs (goal: 0.3s)", 0, 2, func() error { return m.card(ctx, cards[0]) }); err != nil {
		return err
	}
	for i, r := range m.runs[*ended:] {
		if _, err := rig.AppendLines(r.EventFile, *rows+1+i, 5); err != nil {
			return err
		}
	}
	if err := rig.Pause(ctx, 10*time.Second); err != nil { // less than the 30 s after which TensorBoard reloads
		return err
	}
	return m.measure("reload after the running runs have grown (goal: 2 requests per running run, none for ended ones)", 0, 2, func() error { return m.page(ctx) })
}

// measure measures one step and its requests to the Viewer. It fails if a run causes more
// requests than forEnded or forRunning: unlike the time, this does not depend on the machine.
func (m *measurement) measure(what string, forEnded, forRunning int, step func() error) error {
	before, start := m.requests(), time.Now()
	ours, theirs, err := m.rig.Costs(step)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	took, after := time.Since(start), m.requests()
	ofEnded, mostOfEnded, mostOfRunning := map[string]int{}, 0, 0
	for i := range m.runs {
		all := 0
		for _, route := range runRoutes {
			n := after.perRun[i][route] - before.perRun[i][route]
			if all += n; i < *ended && n > 0 {
				ofEnded[route] += n
			}
		}
		if i < *ended {
			mostOfEnded = max(mostOfEnded, all)
		} else {
			mostOfRunning = max(mostOfRunning, all)
		}
	}
	fmt.Fprintf(m.out, "  %s: %v; CPU server %v, Viewer %v; requests: %d lists, %d of paths, %v for ended runs, at most %d for a running one\n",
		what, took.Round(time.Millisecond), ours, theirs, after.lists-before.lists, after.paths-before.paths, ofEnded, mostOfRunning)
	if mostOfEnded > forEnded || mostOfRunning > forRunning {
		return fmt.Errorf("%s: %d requests for an ended run, %d for a running one; at most %d and %d are needed", what, mostOfEnded, mostOfRunning, forEnded, forRunning)
	}
	return nil
}

// runRoutes are the routes that the server may request for one run. Its files are downloads.
var runRoutes = []string{"", "/assets", "/assets/download"}

type requests struct {
	lists, paths int
	perRun       []map[string]int // by route
}

func (m *measurement) requests() requests {
	r := requests{
		lists: m.rig.Proxy.Requests(http.MethodGet, "/api/runs"), paths: m.rig.Proxy.Requests(http.MethodGet, "/api/paths/export"),
	}
	for _, run := range m.runs {
		n := map[string]int{}
		for _, route := range runRoutes {
			n[route] = m.rig.Proxy.Requests(http.MethodGet, "/api/runs/"+run.RunID+route)
		}
		r.perRun = append(r.perRun, n)
	}
	return r
}

// page sends the requests of a load or reload of Time Series.
func (m *measurement) page(ctx context.Context) error {
	if _, err := m.client.ListPlugins(ctx, &tensorboardpb.ListPluginsRequest{ExperimentId: "defaultExperimentId"}); err != nil {
		return err
	}
	var g errgroup.Group
	for range 2 {
		g.Go(func() error {
			_, err := m.client.GetExperiment(ctx, &tensorboardpb.GetExperimentRequest{ExperimentId: "defaultExperimentId"})
			return err
		})
		g.Go(func() error {
			resp, err := m.client.ListRuns(ctx, &tensorboardpb.ListRunsRequest{ExperimentId: "defaultExperimentId"})
			if err == nil && len(resp.GetRuns()) != len(m.runs) {
				return fmt.Errorf("%d runs", len(resp.GetRuns()))
			}
			return err
		})
		g.Go(func() error { return m.hparams(ctx) })
	}
	g.Go(func() error {
		resp, err := m.client.ListScalars(ctx, &tensorboardpb.ListScalarsRequest{PluginFilter: plugin("scalars")})
		if err == nil && len(resp.GetRuns()) != len(m.runs) {
			return fmt.Errorf("%d runs have scalars", len(resp.GetRuns()))
		}
		return err
	})
	g.Go(func() error {
		_, err := m.client.ListTensors(ctx, &tensorboardpb.ListTensorsRequest{PluginFilter: plugin("histograms")})
		return err
	})
	g.Go(func() error {
		_, err := m.client.ListBlobSequences(ctx, &tensorboardpb.ListBlobSequencesRequest{PluginFilter: plugin("images")})
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, name := range cards {
		g.Go(func() error { return m.card(ctx, name) })
	}
	return g.Wait()
}

func plugin(name string) *tensorboardpb.PluginFilter {
	return &tensorboardpb.PluginFilter{PluginName: name}
}

func (m *measurement) hparams(ctx context.Context) error {
	_, err := m.client.ListTensors(ctx, &tensorboardpb.ListTensorsRequest{PluginFilter: plugin("hparams")})
	return err
}

// card reads one metric of all runs.
func (m *measurement) card(ctx context.Context, name string) error {
	resp, err := m.client.ReadScalars(ctx, &tensorboardpb.ReadScalarsRequest{
		PluginFilter: plugin("scalars"), Downsample: &tensorboardpb.Downsample{NumPoints: 1000},
		RunTagFilter: &tensorboardpb.RunTagFilter{Tags: &tensorboardpb.NameFilter{Names: []string{name}}},
	})
	if err != nil {
		return err
	}
	short := func(r *tensorboardpb.ScalarRunData) bool { return len(r.GetTags()[0].GetData().GetStep()) < *rows }
	if len(resp.GetRuns()) != len(m.runs) || slices.ContainsFunc(resp.GetRuns(), short) {
		return fmt.Errorf("%d runs have %s, or not all of their points", len(resp.GetRuns()), name)
	}
	return nil
}
