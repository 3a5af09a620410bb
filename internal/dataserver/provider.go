package dataserver

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	pb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
)

// provider forwards calls to the server. TensorBoard has a single experiment, so each request
// gets the experiment of the logdir.
type provider struct {
	pb.UnimplementedTensorBoardDataProviderServer

	server     pb.TensorBoardDataProviderClient
	experiment string
}

// check calls the server once, so that a wrong address, token or Viewer is reported at the
// start.
func (p *provider) check(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := p.server.GetExperiment(ctx, &pb.GetExperimentRequest{ExperimentId: p.experiment})
	if e, ok := errors.AsType[*client.Error](err); ok && e.Reason == "" && client.IsUnavailable(err) {
		return fmt.Errorf("no runicorn-grpc server responds at %s, the address in --logdir: %w", address, err)
	}
	if err != nil {
		return fmt.Errorf("the runicorn-grpc server at %s: %w", address, err)
	}
	return nil
}

// GetExperiment describes the experiment of the logdir.
func (p *provider) GetExperiment(ctx context.Context, req *pb.GetExperimentRequest) (*pb.GetExperimentResponse, error) {
	req.ExperimentId = p.experiment
	return p.server.GetExperiment(ctx, req)
}

// ListPlugins lists the supported plugins.
func (p *provider) ListPlugins(ctx context.Context, req *pb.ListPluginsRequest) (*pb.ListPluginsResponse, error) {
	req.ExperimentId = p.experiment
	return p.server.ListPlugins(ctx, req)
}

// ListRuns lists the runs.
func (p *provider) ListRuns(ctx context.Context, req *pb.ListRunsRequest) (*pb.ListRunsResponse, error) {
	req.ExperimentId = p.experiment
	return p.server.ListRuns(ctx, req)
}

// ListScalars lists the metrics that have numbers or booleans.
func (p *provider) ListScalars(ctx context.Context, req *pb.ListScalarsRequest) (*pb.ListScalarsResponse, error) {
	req.ExperimentId = p.experiment
	return p.server.ListScalars(ctx, req)
}

// ReadScalars reads the points of metrics.
func (p *provider) ReadScalars(ctx context.Context, req *pb.ReadScalarsRequest) (*pb.ReadScalarsResponse, error) {
	req.ExperimentId = p.experiment
	return p.server.ReadScalars(ctx, req)
}

// ListTensors lists texts, logs and hyperparameters.
func (p *provider) ListTensors(ctx context.Context, req *pb.ListTensorsRequest) (*pb.ListTensorsResponse, error) {
	req.ExperimentId = p.experiment
	return p.server.ListTensors(ctx, req)
}

// ReadTensors reads texts and logs.
func (p *provider) ReadTensors(ctx context.Context, req *pb.ReadTensorsRequest) (*pb.ReadTensorsResponse, error) {
	req.ExperimentId = p.experiment
	return p.server.ReadTensors(ctx, req)
}

// ListBlobSequences lists images.
func (p *provider) ListBlobSequences(ctx context.Context, req *pb.ListBlobSequencesRequest) (*pb.ListBlobSequencesResponse, error) {
	req.ExperimentId = p.experiment
	return p.server.ListBlobSequences(ctx, req)
}

// ReadBlobSequences returns the blob keys of images.
func (p *provider) ReadBlobSequences(ctx context.Context, req *pb.ReadBlobSequencesRequest) (*pb.ReadBlobSequencesResponse, error) {
	req.ExperimentId = p.experiment
	return p.server.ReadBlobSequences(ctx, req)
}

// ReadBlob streams an image.
func (p *provider) ReadBlob(req *pb.ReadBlobRequest, out grpc.ServerStreamingServer[pb.ReadBlobResponse]) error {
	in, err := p.server.ReadBlob(out.Context(), req)
	if err != nil {
		return err
	}
	for {
		chunk, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.Send(chunk); err != nil {
			return err
		}
	}
}
