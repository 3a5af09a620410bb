package tensorboard

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

const (
	// keySeparator separates the parts of a blob key. It does not occur in them.
	keySeparator = "\x00"
	// blobChunk is the size of the chunk in one message, in bytes.
	blobChunk = 1 << 20
)

// blobKey identifies a file of a run. It can be part of a URL.
func blobKey(viewer, runID string, file restclient.RunFile) string {
	return base64.RawURLEncoding.EncodeToString([]byte(viewer + keySeparator + runID + keySeparator + string(file)))
}

// parseBlobKey parses and validates a key, which callers can forge.
func parseBlobKey(key string) (viewer, runID string, file restclient.RunFile, err error) {
	text, err := base64.RawURLEncoding.DecodeString(key)
	parts := strings.Split(string(text), keySeparator)
	if err != nil || len(parts) != 3 {
		return "", "", "", apierr.Invalid("blob_key", "must be a key that ReadBlobSequences returned")
	}
	file, err = restclient.MediaFile(parts[2])
	return parts[0], parts[1], file, errors.Join(err, restclient.CheckID("blob_key", parts[1]))
}

// ReadBlob streams the file of an image.
func (s *Server) ReadBlob(req *tensorboardpb.ReadBlobRequest, stream grpc.ServerStreamingServer[tensorboardpb.ReadBlobResponse]) (err error) {
	viewer, runID, file, err := parseBlobKey(req.GetBlobKey())
	if err != nil {
		return err
	}
	ctx := stream.Context()
	v, err := s.fleet.Get(ctx, viewer)
	if err != nil {
		return err
	}
	part, err := v.Client.ReadFile(ctx, runID, file, 0, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	if part.State == restclient.RunGone || part.State == restclient.FileAbsent {
		return noImage(v, runID)
	}
	out := bufio.NewWriterSize(blobWriter{stream}, blobChunk)
	if _, err := io.Copy(out, part); err != nil {
		return err
	}
	return out.Flush()
}

// blobWriter sends each write as a message.
type blobWriter struct {
	stream grpc.ServerStreamingServer[tensorboardpb.ReadBlobResponse]
}

func (w blobWriter) Write(chunk []byte) (int, error) {
	return len(chunk), w.stream.Send(&tensorboardpb.ReadBlobResponse{Data: chunk})
}

func noImage(v *fleet.Viewer, runID string) error {
	return &apierr.Error{
		Code: codes.NotFound, Reason: runicornapiv1.ErrorReason_ERROR_REASON_ASSET_NOT_FOUND,
		Message: "viewer " + v.Name + ": run " + runID + " no longer has this image",
	}
}
