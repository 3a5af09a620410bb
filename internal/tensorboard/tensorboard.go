// Package tensorboard is a TensorBoard data provider over gRPC (tensorboard
// --grpc_data_provider=HOST:PORT). It serves experiments as scalars, texts, images and
// hyperparameters.
//
// TensorBoard repeats the same requests for all runs, so only new and changed runs cost a
// Viewer requests: tags and hyperparameters come from the search index, points and images
// from the cache of parsed runs, and the tags that were made of them are cached until the
// list entry of the run changes. A running run is read again when its data is older than
// maxAge.
//
// If one list request fails, TensorBoard shows an empty dashboard without an error. So
// Viewers and runs that cannot be read are omitted, and the omitted Viewers are named in the
// description of the experiment; only invalid requests return errors.
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

// The names of the supported plugins.
const (
	pluginScalars = "scalars"
	pluginImages  = "images"
	pluginText    = "text"
	pluginHParams = "hparams"
)

// Config configures a Server. Fleet, Cache, Index and Conn are required.
type Config struct {
	// Fleet has the Viewers.
	Fleet *fleet.Fleet
	// Cache has the points and images of runs.
	Cache *runcache.Cache
	// Index has the metrics, configurations and summaries of runs.
	Index *search.Index
	// Conn is a connection to this gRPC server. TailLogs is called over it, with the caller's
	// token, to read the last lines of logs.
	Conn grpc.ClientConnInterface
}

// Server is the data provider. It is safe for concurrent use. Create it with New, and release
// it with Close.
type Server struct {
	tensorboardpb.UnimplementedTensorBoardDataProviderServer

	fleet *fleet.Fleet
	cache *runcache.Cache
	index *search.Index
	logs  runicornapiv1.ExperimentServiceClient
	store *store
	calls flight.Group[string, proto.Message] // single flight of equal requests
}

// New returns a server.
func New(cfg Config) *Server {
	return &Server{
		fleet: cfg.Fleet, cache: cfg.Cache, index: cfg.Index,
		logs: runicornapiv1.NewExperimentServiceClient(cfg.Conn), store: &store{},
	}
}

// Close cancels the calls in flight and waits for them.
func (s *Server) Close() { s.calls.Close() }

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	tensorboardpb.RegisterTensorBoardDataProviderServer(r, s)
}

// IsMessage reports whether a message belongs to TensorBoard's service, for which the limit
// is MaxMessage.
func IsMessage(m any) bool {
	p, ok := m.(proto.Message)
	return ok && p.ProtoReflect().Descriptor().ParentFile().Package() == tensorboardpb.File_tensorboard_data_provider_proto.Package()
}

// share executes equal concurrent requests once, if their callers may see the same Viewers.
// The deadline is that of the first caller.
func share[Req, Resp proto.Message](ctx context.Context, s *Server, req Req, work func(context.Context, Req) (Resp, error)) (Resp, error) {
	var none Resp
	key, err := requestKey(ctx, req)
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

// requestKey is equal for equal requests of callers with the same Viewers and authority.
func requestKey(ctx context.Context, req proto.Message) (string, error) {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return "", fmt.Errorf("encode the request: %w", err)
	}
	return fmt.Sprintf("%T %s %s %s", req, fleet.VisibleKey(ctx), authority(ctx), text), nil
}
