package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// bigFile is the only output of the only run in a storage that also has a folder, which
// is downloaded as a zip.
type bigFile struct{ storage, runID, path string }

// zipFiles and zipFileSize make packing the folder take the Viewer some time.
const (
	zipFiles    = 200
	zipFileSize = 256 << 10
)

// writeBig writes a sparse file and a folder in the form in which the SDK archives them.
func writeBig(storage string, version realviewer.Version) (bigFile, error) {
	run, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{
		Project: "big", Name: "output", Lines: realviewer.Curve(time.Now(), 10, "loss"),
	})
	if err != nil {
		return bigFile{}, err
	}
	path := filepath.Join(storage, "archive", "outputs", "rolling", run.RunID, "big.bin")
	if err := write(path, nil); err != nil {
		return bigFile{}, err
	}
	if err := os.Truncate(path, fileSize); err != nil {
		return bigFile{}, err
	}
	list, err := writeFolder(filepath.Join(storage, "archive"))
	if err != nil {
		return bigFile{}, err
	}
	assets, err := json.Marshal(map[string]any{
		"outputs": []any{map[string]any{
			"name": "big.bin", "key": "out/big.bin", "path": "out/big.bin", "saved": true, "archive_path": path,
		}},
		"datasets": []any{map[string]any{
			"name": "folder", "saved": true, "archive_path": list, "fingerprint_kind": "sha256_manifest", "file_count": zipFiles,
		}},
	})
	if err != nil {
		return bigFile{}, err
	}
	return bigFile{storage, run.RunID, path}, write(filepath.Join(run.Dir, "assets.json"), assets)
}

// writeFolder writes random contents and their list, and returns its path.
func writeFolder(archive string) (string, error) {
	files := map[string]any{}
	for i := range zipFiles {
		content := make([]byte, zipFileSize)
		if _, err := rand.Read(content); err != nil {
			return "", err
		}
		sum := sha256.Sum256(content)
		name := hex.EncodeToString(sum[:])
		if err := write(filepath.Join(archive, "blobs", name[:2], name), content); err != nil {
			return "", err
		}
		files[fmt.Sprintf("%d.bin", i)] = map[string]any{"sha256": name, "size_bytes": zipFileSize}
	}
	text, err := json.Marshal(map[string]any{"files": files, "file_count": zipFiles})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	name := hex.EncodeToString(sum[:])
	path := filepath.Join(archive, "manifests", "datasets", name[:2], name+".json")
	return path, write(path, text)
}

// write writes a file and the folders above it.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// front is a new server in front of the Viewer, so that its peak memory is that of one
// measurement.
type front struct {
	rig.Front
	artifacts runicornapiv1.ArtifactServiceClient
	request   *runicornapiv1.DownloadAssetRequest
	url       string
	heavy     *rig.Heavy
	zip       *runicornapiv1.DownloadAssetRequest
}

// inFront starts a server behind a proxy that counts heavy calls, measures, and stops it.
func inFront(ctx context.Context, bed *rig.Bed, viewerURL, runID string, part func(*front) error) (err error) {
	f := &front{}
	if f.heavy, err = rig.NewHeavy(viewerURL); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.heavy.Close()) }()
	if err := f.Serve(ctx, bed, viewerURL, "--viewer=counted="+f.heavy.URL()); err != nil {
		return errors.Join(err, f.Close())
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	conn, err := grpc.NewClient(f.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	f.artifacts = runicornapiv1.NewArtifactServiceClient(conn)
	id, err := f.asset(ctx, runID, runicornapiv1.AssetType_ASSET_TYPE_OUTPUT)
	if err != nil {
		return err
	}
	zip, err := f.asset(ctx, runID, runicornapiv1.AssetType_ASSET_TYPE_DATASET)
	if err != nil {
		return err
	}
	f.request = &runicornapiv1.DownloadAssetRequest{RunId: runID, AssetId: id}
	f.zip = &runicornapiv1.DownloadAssetRequest{Viewer: "counted", RunId: runID, AssetId: zip}
	f.url = "http://" + f.HTTPAddr + "/v1/experiments/" + runID + "/assets/" + id + ":download"
	return part(f)
}

// asset finds the only asset of a type.
func (f *front) asset(ctx context.Context, runID string, kind runicornapiv1.AssetType) (string, error) {
	assets, err := f.artifacts.ListAssets(ctx, &runicornapiv1.ListAssetsRequest{RunId: runID, Type: kind})
	if err != nil {
		return "", err
	}
	if len(assets.GetAssets()) != 1 {
		return "", fmt.Errorf("the run has %d assets of type %v", len(assets.GetAssets()), kind)
	}
	return assets.GetAssets()[0].GetAssetId(), nil
}

// read downloads over gRPC, with a pause after each chunk.
func (f *front) read(ctx context.Context, req *runicornapiv1.DownloadAssetRequest, pause time.Duration) error {
	stream, err := f.artifacts.DownloadAsset(ctx, req)
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
			if err := rig.Pause(ctx, pause); err != nil {
				return err
			}
		}
	}
}

// slowReaders measures the memory that slow clients cost. Their deadline ends before the
// file does.
func slowReaders(ctx context.Context, out io.Writer, f *front, _ string) error {
	const readers, lasting = 20, 10 * time.Second
	slow, cancel := context.WithTimeout(ctx, lasting)
	defer cancel()
	idle, above, err := f.Memory(func() error {
		var reading errgroup.Group
		for range readers {
			reading.Go(func() error {
				err := f.read(slow, f.request, 250*time.Millisecond)
				if slow.Err() == nil && status.Code(err) != codes.DeadlineExceeded { // the server may be the first to notice
					return fmt.Errorf("a slow reader ended early: %w", err)
				}
				return nil
			})
		}
		return reading.Wait()
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  %d slow readers: %d MiB idle, +%d MiB at most (goal: 64)\n", readers, idle, above)
	return nil
}

// crowd downloads the file with four clients and the zip with eight concurrently, while
// the server's health is checked.
func crowd(ctx context.Context, out io.Writer, f *front, _ string) error {
	const files, zips = 4, 8
	summary, err := f.Crowd(ctx, f.heavy, func() error {
		var reading errgroup.Group
		for range files {
			reading.Go(func() error {
				req := &runicornapiv1.DownloadAssetRequest{Viewer: f.zip.GetViewer(), RunId: f.request.GetRunId(), AssetId: f.request.GetAssetId()}
				return f.read(ctx, req, 0)
			})
		}
		for range zips {
			reading.Go(func() error { return f.read(ctx, f.zip, 0) })
		}
		return reading.Wait()
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  %d downloads of the file and %d of a zip at once: %s\n", files, zips, summary)
	return nil
}
