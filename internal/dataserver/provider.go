package dataserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	pb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
)

// provider forwards calls to the server. TensorBoard has a single experiment, so each request
// gets the experiment of the logdir.
type provider struct {
	pb.UnimplementedTensorBoardDataProviderServer

	conn       grpc.ClientConnInterface
	server     pb.TensorBoardDataProviderClient // over conn
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

// forward is an interceptor that forwards a unary call instead of handling it.
func (p *provider) forward(ctx context.Context, req any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	fields := req.(proto.Message).ProtoReflect() //nolint:errcheck // all requests are messages
	fields.Set(fields.Descriptor().Fields().ByName("experiment_id"), protoreflect.ValueOfString(p.experiment))
	method := pb.File_tensorboard_data_provider_proto.Services().Get(0).Methods().ByName(protoreflect.Name(path.Base(info.FullMethod)))
	response, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		return nil, err
	}
	resp := response.New().Interface()
	return resp, p.conn.Invoke(ctx, info.FullMethod, req, resp)
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
