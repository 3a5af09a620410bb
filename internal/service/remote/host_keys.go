package remote

import (
	"context"
	"fmt"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
)

// AcceptHostKey makes a key known.
func (s *Service) AcceptHostKey(ctx context.Context, req *runicornapiv1.AcceptHostKeyRequest) (*runicornapiv1.AcceptHostKeyResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	if err := v.Client.AcceptHostKey(ctx, hostKeyFromProto(req.GetHostKey())); err != nil {
		return nil, prefixField("host_key", err)
	}
	return &runicornapiv1.AcceptHostKeyResponse{HostKey: req.GetHostKey()}, nil
}

// ListHostKeys lists the known keys.
func (s *Service) ListHostKeys(ctx context.Context, req *runicornapiv1.ListHostKeysRequest) (*runicornapiv1.ListHostKeysResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	keys, err := v.Client.HostKeys(ctx)
	if err != nil {
		return nil, err
	}
	out := &runicornapiv1.ListHostKeysResponse{}
	for i := range keys {
		out.HostKeys = append(out.HostKeys, convert.HostKey(&keys[i]))
	}
	out.HostKeys, out.NextPageToken, err = page.InOrder(req, out.GetHostKeys(), func(k *runicornapiv1.HostKey) string {
		return fmt.Sprint(k.GetHost(), " ", k.GetPort(), " ", k.GetKeyType())
	})
	return out, err
}

// RemoveHostKey forgets a key.
func (s *Service) RemoveHostKey(ctx context.Context, req *runicornapiv1.RemoveHostKeyRequest) (*runicornapiv1.RemoveHostKeyResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	removed, err := v.Client.RemoveHostKey(ctx, req.GetHost(), portOrDefault(req.Port), req.GetKeyType())
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.RemoveHostKeyResponse{Removed: removed}, nil
}
