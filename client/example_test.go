package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// The examples are run in front of runicorn-grpc --demo.
const finishedRun = "20261123_172639_4eee0c"

// connect returns a client of $RUNICORN_GRPC_ADDRESS.
func connect() *client.Client {
	c, err := client.New("")
	if err != nil {
		panic(err)
	}
	return c
}

// Tail a run until it ends. A token that is stored with the points resumes the tail in
// another process.
func ExampleClient_Tail() {
	c := connect()
	defer c.Close()
	points, token := 0, ""
	for event, err := range c.Tail(context.Background(), &runicornapiv1.TailMetricsRequest{RunIds: []string{finishedRun}, MetricNames: []string{"train/loss"}}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for p := range event.Points() {
			if points++; points == 1 {
				fmt.Printf("%d %s %.2f\n", p.Step, p.Metric, p.Value)
			}
		}
		if end := event.GetEnd(); end != nil {
			fmt.Println(points, end.GetReason())
		}
		token = event.Token()
	}
	fmt.Println(token != "")
	// Output:
	// 1 train/loss 2.17
	// 60 END_REASON_FINISHED
	// true
}

// List all experiments that match, over all pages.
func ExampleClient_Experiments() {
	c := connect()
	defer c.Close()
	request := &runicornapiv1.ListExperimentsRequest{
		Viewer: "-", Filter: `path:"vision" AND status = FINISHED`, MetricNames: []string{"val/accuracy"}, OrderBy: "viewer",
	}
	for e, err := range c.Experiments(context.Background(), request) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.GetViewer(), e.GetPath(), e.GetAlias(), e.GetMetrics()[0].GetCount())
	}
	// Output:
	// demo vision/resnet baseline 12
	// legacy vision/resnet  12
}

// Read every point that a run has logged.
func ExampleClient_History() {
	c := connect()
	defer c.Close()
	history, err := c.History(context.Background(), &runicornapiv1.StreamMetricsRequest{RunIds: []string{finishedRun}})
	if err != nil {
		fmt.Println(err)
		return
	}
	loss := history.Metric("train/loss")
	fmt.Println(len(loss.GetSteps()), "points, the last one at step", loss.GetSteps()[len(loss.GetSteps())-1])
	// Output: 60 points, the last one at step 60
}

// Save a run as a file.
func ExampleClient_Export() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	c := connect()
	defer c.Close()
	request := &runicornapiv1.ExportExperimentRequest{RunId: finishedRun, Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET}
	file, err := c.Export(context.Background(), request, dir+"/run.parquet", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(file.SizeBytes > 1000, len(file.SHA256))
	// Output: true 64
}

// Read the reason and details of an error.
func ExampleError() {
	c := connect()
	defer c.Close()
	_, err := c.ExperimentService.GetExperiment(context.Background(), &runicornapiv1.GetExperimentRequest{RunId: "20200101_000000_abcdef"})
	if e, ok := errors.AsType[*client.Error](err); ok {
		fmt.Println(e.Reason, e.Metadata["run_id"], client.IsNotFound(err))
	}
	// Output: RUN_NOT_FOUND 20200101_000000_abcdef true
}
