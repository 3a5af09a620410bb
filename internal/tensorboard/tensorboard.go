// Package tensorboard serves experiments to TensorBoard, which asks for them over gRPC
// (tensorboard --grpc_data_provider=HOST:PORT), as scalars, texts, images and
// hyperparameters.
//
// TensorBoard asks the same for all runs again and again, so an answer costs a Viewer
// something only for runs that are new: which tags there are, and hyperparameters, are
// from the search index, points and images from the cache of parsed runs, and what was
// made of them is kept until the list of runs says that a run has changed. A run that runs
// is read again when what is known of it is older than maxAge.
//
// One failing list leaves a dashboard empty without a word. So what cannot be read is left
// out, Viewers and runs, and named in the description of the experiment; errors are for
// requests that are wrong.
package tensorboard

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/flight"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
)

// MaxMessage is the largest message that TensorBoard accepts, in bytes.
const MaxMessage = 256 << 20

// The names of the plugins that have data here.
const (
	pluginScalars = "scalars"
	pluginImages  = "images"
	pluginText    = "text"
	pluginHParams = "hparams"
)

// Config is what a Server works with. Fleet, Cache, Index and Conn are required.
type Config struct {
	// Fleet is the Viewers.
	Fleet *fleet.Fleet
	// Cache has the points and images of runs.
	Cache *runcache.Cache
	// Index knows which metrics runs have, and their configurations.
	Index *search.Index
	// Conn is a connection to our own gRPC server: the last lines of logs are read by
	// TailLogs, with the caller's token.
	Conn grpc.ClientConnInterface
	// MaxBytes bounds the memory of what was made of runs; 64 MiB if 0.
	MaxBytes int64
}

// Server is the data provider. It is safe for concurrent use. Make it with New, and end
// it with Close.
type Server struct {
	tensorboardpb.UnimplementedTensorBoardDataProviderServer

	fleet *fleet.Fleet
	cache *runcache.Cache
	index *search.Index
	logs  runicornapiv1.ExperimentServiceClient
	store *store
	calls flight.Group[string, proto.Message] // equal questions at the same time
}

// New returns a server.
func New(cfg Config) *Server {
	return &Server{
		fleet: cfg.Fleet, cache: cfg.Cache, index: cfg.Index,
		logs: runicornapiv1.NewExperimentServiceClient(cfg.Conn), store: newStore(cfg.MaxBytes),
	}
}

// Close ends the calls in flight and waits for them.
func (s *Server) Close() { s.calls.Close() }

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	tensorboardpb.RegisterTensorBoardDataProviderServer(r, s)
}

// IsMessage says whether a message is one of TensorBoard's, for which MaxMessage is.
func IsMessage(m any) bool {
	p, ok := m.(proto.Message)
	return ok && p.ProtoReflect().Descriptor().ParentFile().Package() == tensorboardpb.File_tensorboard_data_provider_proto.Package()
}

// share answers equal questions that come at the same time once, if the same Viewers exist
// for those who ask. The work has the deadline of the first one.
func share[Req, Resp proto.Message](ctx context.Context, s *Server, req Req, work func(context.Context, Req) (Resp, error)) (Resp, error) {
	var none Resp
	key, err := questionKey(ctx, req)
	if err != nil {
		return none, err
	}
	deadline, bounded := ctx.Deadline()
	resp, err := s.calls.Do(ctx, key, func(ctx context.Context) (proto.Message, error) {
		if bounded {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline)
			defer cancel()
		}
		return work(ctx, req)
	})
	if err != nil {
		return none, err
	}
	return resp.(Resp), nil //nolint:errcheck,forcetypeassert // the key has the type of the request
}

// questionKey is the same for equal questions.
func questionKey(ctx context.Context, req proto.Message) (string, error) {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return "", fmt.Errorf("encode the request: %w", err)
	}
	return fmt.Sprintf("%T %s %s %s", req, fleet.VisibleKey(ctx), authority(ctx), text), nil
}
