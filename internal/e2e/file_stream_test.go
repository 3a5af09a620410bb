package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// fileMessage is a message of a stream that sends a file.
type fileMessage interface {
	GetHeader() *runicornapiv1.FileHeader
	GetChunk() []byte
	GetTrailer() *runicornapiv1.FileTrailer
}

// receiveFile writes the chunks of a file to w. The header must be first, no chunk may be
// larger than 256 KiB, and a stream that ends OK must have a correct trailer.
func receiveFile[M fileMessage](t *testing.T, stream interface{ Recv() (M, error) }, w io.Writer) (header *runicornapiv1.FileHeader, trailer *runicornapiv1.FileTrailer, err error) {
	t.Helper()
	sum, size := sha256.New(), int64(0)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if trailer.GetSha256() != hex.EncodeToString(sum.Sum(nil)) || trailer.GetSizeBytes() != header.GetOffset()+size {
				t.Errorf("the stream ended OK with %d bytes and the trailer %v", size, trailer)
			}
			return header, trailer, nil
		}
		if err != nil {
			return header, trailer, err
		}
		if m.GetHeader() != nil {
			header = m.GetHeader()
		}
		if chunk := m.GetChunk(); len(chunk) > 256<<10 || header == nil {
			t.Fatalf("a chunk of %d bytes, header %v", len(chunk), header)
		}
		trailer = m.GetTrailer()
		size += int64(len(m.GetChunk()))
		if _, err := io.MultiWriter(sum, w).Write(m.GetChunk()); err != nil {
			t.Fatal(err)
		}
	}
}

// offsetTrigger counts bytes, and calls reached once there are so many.
type offsetTrigger struct {
	size, offset int64
	reached      func() // nil once it was called
}

func (o *offsetTrigger) Write(p []byte) (int, error) {
	o.size += int64(len(p))
	if o.size >= o.offset && o.reached != nil {
		o.reached()
		o.reached = nil
	}
	return len(p), nil
}

// exported is a file that ExportExperiment has sent.
type exported struct {
	header  *runicornapiv1.FileHeader
	trailer *runicornapiv1.FileTrailer
	content []byte
}

// export receives an export.
func export(t *testing.T, s *server, req *runicornapiv1.ExportExperimentRequest) (*exported, error) {
	t.Helper()
	stream, err := s.experiments.ExportExperiment(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	header, trailer, err := receiveFile(t, stream, &content)
	return &exported{header: header, trailer: trailer, content: content.Bytes()}, err
}

// download receives an asset.
func download(t *testing.T, s *server, req *runicornapiv1.DownloadAssetRequest) (*runicornapiv1.FileHeader, []byte, error) {
	t.Helper()
	stream, err := artifactsOf(s).DownloadAsset(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	header, _, err := receiveFile(t, stream, &content)
	return header, content.Bytes(), err
}
