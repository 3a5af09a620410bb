package exports

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
)

// fingerprint returns the etag of the file: a hash of the request and of the state of the
// runs. It is empty if a run has not ended.
func (j *exporter) fingerprint(ctx context.Context, req *runicornapiv1.ExportExperimentRequest) (string, error) {
	states := make([][]byte, len(j.targets))
	reads, within := errgroup.WithContext(ctx)
	reads.SetLimit(runs.MaxFull)
	for i := range j.targets {
		reads.Go(func() (err error) {
			states[i], err = j.runState(within, i)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return "", err
	}
	what := proto.CloneOf(req)
	what.Offset, what.IfMatch = 0, ""
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(what)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, _ = sum.Write(append([]byte{fileVersion}, text...))
	for i, state := range states {
		if state == nil {
			return "", nil
		}
		for _, part := range [][]byte{[]byte(j.targets[i].ResourceName()), state, j.runs[i].Experiment, j.runs[i].Environment} {
			_, _ = sum.Write(binary.AppendUvarint(nil, uint64(len(part))))
			_, _ = sum.Write(part)
		}
	}
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16]), nil
}

// runState identifies the content of the i-th run; nil if the run has not ended.
func (j *exporter) runState(ctx context.Context, i int) ([]byte, error) {
	t := j.targets[i]
	status, _, err := source.Of(t).Status(ctx)
	if err != nil || !status.Terminal {
		return nil, err
	}
	state := []byte(j.etags[i])
	if j.runs[i].Merged {
		return state, nil
	}
	part, err := t.Client.ReadFile(ctx, t.RunID, restclient.FileEvents, 0, 1)
	if err != nil {
		return nil, source.FilesUnsupported(err)
	}
	state = binary.AppendVarint(append(state, part.ETag...), part.Size)
	return state, part.Close()
}
