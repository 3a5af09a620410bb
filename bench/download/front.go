package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// bigFile is the one output of the one run of a storage.
type bigFile struct{ storage, runID, path string }

// writeBig writes a sparse file as the SDK would have archived it.
func writeBig(storage string, version realviewer.Version) (bigFile, error) {
	run, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{
		Project: "big", Name: "output", Lines: realviewer.Curve(time.Now(), 10, "loss"),
	})
	if err != nil {
		return bigFile{}, err
	}
	path := filepath.Join(storage, "archive", "outputs", "rolling", run.RunID, "big.bin")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return bigFile{}, err
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return bigFile{}, err
	}
	if err := os.Truncate(path, fileSize); err != nil {
		return bigFile{}, err
	}
	assets, err := json.Marshal(map[string]any{"outputs": []any{map[string]any{
		"name": "big.bin", "key": "out/big.bin", "path": "out/big.bin", "saved": true, "archive_path": path,
	}}})
	if err != nil {
		return bigFile{}, err
	}
	return bigFile{storage, run.RunID, path}, os.WriteFile(filepath.Join(run.Dir, "assets.json"), assets, 0o600)
}

// front is a fresh server in front of the Viewer, so that its peak memory is
// that of one measurement.
type front struct {
	rig.Front
	artifacts runicornv1.ArtifactServiceClient
	request   *runicornv1.DownloadAssetRequest
	url       string
}

// inFront starts one, measures and ends it.
func inFront(ctx context.Context, bed *rig.Bed, viewerURL, runID string, part func(*front) error) (err error) {
	f := &front{}
	if err := f.Serve(ctx, bed, viewerURL); err != nil {
		return errors.Join(err, f.Close())
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	conn, err := grpc.NewClient(f.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	f.artifacts = runicornv1.NewArtifactServiceClient(conn)
	assets, err := f.artifacts.ListAssets(ctx, &runicornv1.ListAssetsRequest{RunId: runID, Type: runicornv1.AssetType_ASSET_TYPE_OUTPUT})
	if err != nil {
		return err
	}
	if len(assets.GetAssets()) != 1 {
		return fmt.Errorf("the run has %d outputs", len(assets.GetAssets()))
	}
	id := assets.GetAssets()[0].GetAssetId()
	f.request = &runicornv1.DownloadAssetRequest{RunId: runID, AssetId: id}
	f.url = "http://" + f.HTTPAddr + "/v1/experiments/" + runID + "/assets/" + id + ":download"
	return part(f)
}

// read downloads over gRPC, with a pause after each chunk.
func (f *front) read(ctx context.Context, pause time.Duration) error {
	stream, err := f.artifacts.DownloadAsset(ctx, f.request)
	if err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// slowReaders measures the memory that slow clients cost. Their time ends
// before the file does.
func slowReaders(ctx context.Context, out io.Writer, f *front, _ string) error {
	const readers, lasting = 20, 10 * time.Second
	idle, err := f.RSS()
	if err != nil {
		return err
	}
	slow, cancel := context.WithTimeout(ctx, lasting)
	defer cancel()
	var reading errgroup.Group
	for range readers {
		reading.Go(func() error {
			if err := f.read(slow, 250*time.Millisecond); slow.Err() == nil {
				return fmt.Errorf("a slow reader ended early: %w", err)
			}
			return nil
		})
	}
	if err := reading.Wait(); err != nil {
		return err
	}
	peak, err := f.PeakRSS()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  %d slow readers: %d MiB idle, %d MiB at most\n", readers, idle/mib, peak/mib)
	return nil
}
