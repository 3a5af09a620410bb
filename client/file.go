package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// File is a saved file.
type File struct {
	Path        string
	SizeBytes   int64
	SHA256      string // in lower-case hexadecimal
	ContentType string
	// Limitations lists the data that the file does not contain, one sentence each.
	Limitations []string
	// MissingFiles lists files that a zip lacks because the Viewer has lost them.
	MissingFiles []string
}

// Progress is called while a file is received, with the received bytes and the total
// size, which is -1 if it is unknown before the end.
type Progress func(done, total int64)

// Export saves experiments as a file at path or, if path is a folder, in it under the
// name that the server gives. Until it is complete and its SHA-256 is checked, the file
// is called path.part. A transfer that fails is resumed if the file has an etag, and
// else restarted. progress may be nil.
func (c *Client) Export(ctx context.Context, request *runicornapiv1.ExportExperimentRequest, path string, progress Progress) (*File, error) {
	open := func(ctx context.Context, offset int64, etag string) (grpc.ServerStreamingClient[runicornapiv1.ExportExperimentResponse], error) {
		request := proto.CloneOf(request)
		request.Offset, request.IfMatch = offset, etag
		return c.ExperimentService.ExportExperiment(ctx, request)
	}
	return save(ctx, c.conn, "ExportExperiment", path, progress, open)
}

// Download saves an asset of an experiment (Viewers 0.6 and later); see Export.
func (c *Client) Download(ctx context.Context, request *runicornapiv1.DownloadAssetRequest, path string, progress Progress) (*File, error) {
	open := func(ctx context.Context, offset int64, etag string) (grpc.ServerStreamingClient[runicornapiv1.DownloadAssetResponse], error) {
		request := proto.CloneOf(request)
		request.Offset, request.IfMatch = offset, etag
		return c.ArtifactService.DownloadAsset(ctx, request)
	}
	return save(ctx, c.conn, "DownloadAsset", path, progress, open)
}

// filePart is a message of a stream that sends a file.
type filePart[T any] interface {
	*T
	GetHeader() *runicornapiv1.FileHeader
	GetChunk() []byte
	GetTrailer() *runicornapiv1.FileTrailer
}

type openFile[T any] func(ctx context.Context, offset int64, etag string) (grpc.ServerStreamingClient[T], error)

// save receives a file and renames it to its final name when it is complete.
func save[T any, M filePart[T]](ctx context.Context, conn *connection, method, path string, progress Progress, open openFile[T]) (saved *File, err error) {
	info, statErr := os.Stat(path)
	isFolder := statErr == nil && info.IsDir()
	temporary := path + ".part"
	if isFolder {
		temporary = filepath.Join(path, fmt.Sprintf(".runicorn-%d.part", os.Getpid()))
	}
	file, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666) //nolint:gosec // the caller's umask decides
	if err != nil {
		return nil, fmt.Errorf("save the file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary))
		}
	}()
	t := &transfer[T, M]{file: file, open: open, progress: progress, sum: sha256.New()}
	trailer, err := t.receive(ctx, conn.attempts(method, conn.retries))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if isFolder {
		path = filepath.Join(path, fileName(t.header.GetFileName(), method))
	}
	if err := os.Rename(temporary, path); err != nil {
		return nil, fmt.Errorf("save the file: %w", err)
	}
	return &File{
		Path: path, SizeBytes: t.received, SHA256: hex.EncodeToString(t.sum.Sum(nil)), ContentType: t.header.GetContentType(),
		Limitations: append(t.header.GetLimitations(), trailer.GetLimitations()...), MissingFiles: trailer.GetMissingFiles(),
	}, nil
}

// fileName returns the name that a server gives without its folders, or otherwise.
func fileName(given, otherwise string) string {
	if name := filepath.Base(given); name != "." && name != ".." && name != string(filepath.Separator) {
		return name
	}
	return otherwise
}

// transfer is the state of a file that is being received.
type transfer[T any, M filePart[T]] struct {
	file     *os.File
	open     openFile[T]
	progress Progress

	header   *runicornapiv1.FileHeader
	sum      hash.Hash // of the whole file
	received int64     // bytes
}

// receive receives the file with as many calls as necessary. A call that made progress
// does not count as failed.
func (t *transfer[T, M]) receive(ctx context.Context, attempts *attempts) (*runicornapiv1.FileTrailer, error) {
	for {
		before := t.received
		trailer, err := t.call(ctx)
		if err == nil {
			return trailer, nil
		}
		if before > 0 && IsConflict(err) { // the file has changed
			if err := errors.Join(attempts.again(ctx, err), t.restart()); err != nil {
				return nil, err
			}
			continue
		}
		if t.received > before && t.header.GetEtag() != "" {
			attempts.succeeded()
		}
		if err := attempts.wait(ctx, err); err != nil {
			return nil, err
		}
		if t.header.GetEtag() == "" {
			if err := t.restart(); err != nil {
				return nil, err
			}
		}
	}
}

func (t *transfer[T, M]) restart() error {
	t.header, t.received = nil, 0
	t.sum.Reset()
	_, err := t.file.Seek(0, io.SeekStart)
	return errors.Join(err, t.file.Truncate(0))
}

// call makes one call and receives its part of the file.
func (t *transfer[T, M]) call(ctx context.Context) (*runicornapiv1.FileTrailer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := t.open(ctx, t.received, t.header.GetEtag())
	if err != nil {
		return nil, err
	}
	sent := t.sum // of the bytes of this call, which the trailer covers
	if t.received > 0 {
		sent = sha256.New()
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, incomplete("the file is truncated: it has no trailer")
		}
		if err != nil {
			return nil, err
		}
		m := M(message)
		if trailer := m.GetTrailer(); trailer != nil {
			if trailer.GetSha256() != hex.EncodeToString(sent.Sum(nil)) || trailer.GetSizeBytes() != t.received {
				return nil, incomplete("the file is damaged: it does not match its SHA-256 and size")
			}
			return trailer, nil
		}
		if header := m.GetHeader(); header != nil {
			if header.GetOffset() != t.received {
				return nil, incomplete("the file continues at byte %d instead of %d", header.GetOffset(), t.received)
			}
			t.header = header
		}
		if err := t.write(m.GetChunk(), sent); err != nil {
			return nil, err
		}
	}
}

func (t *transfer[T, M]) write(chunk []byte, sent hash.Hash) error {
	if len(chunk) == 0 {
		return nil
	}
	if t.header == nil {
		return incomplete("the file has no header")
	}
	if _, err := t.file.Write(chunk); err != nil {
		return fmt.Errorf("save the file: %w", err)
	}
	t.sum.Write(chunk)
	if sent != t.sum {
		sent.Write(chunk)
	}
	t.received += int64(len(chunk))
	if t.progress != nil {
		total := int64(-1)
		if t.header.SizeBytes != nil {
			total = t.header.GetSizeBytes()
		}
		t.progress(t.received, total)
	}
	return nil
}
