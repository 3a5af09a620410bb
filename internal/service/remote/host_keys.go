package remote

import (
	"context"
	"fmt"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// AcceptHostKey adds a key to the known host keys of a Viewer.
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

// ListHostKeys lists the known host keys of a Viewer.
func (s *Service) ListHostKeys(ctx context.Context, req *runicornapiv1.ListHostKeysRequest) (*runicornapiv1.ListHostKeysResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	keys, err := v.Client.HostKeys(ctx)
	items := convertAll(keys, func(k restclient.HostKey) *runicornapiv1.HostKey { return convert.HostKey(&k) })
	page, next, err := pageOf(req, items, err, func(k *runicornapiv1.HostKey) string {
		return fmt.Sprint(k.GetHost(), " ", k.GetPort(), " ", k.GetKeyType())
	})
	return &runicornapiv1.ListHostKeysResponse{HostKeys: page, NextPageToken: next}, err
}

// RemoveHostKey removes a known host key from a Viewer.
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
