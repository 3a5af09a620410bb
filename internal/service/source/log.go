package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
)

var _ runlog.LogSource = Run{}

// ReadLog reads the text log, from 0.6 on.
func (s Run) ReadLog(ctx context.Context, offset, length int64) (*runlog.Part, error) {
	file, err := s.Client.LogFile(ctx, s.RunID, offset, length)
	return s.part(file, err)
}

// What stands for a line that the Viewer does not show, and what makes a line too
// long that was cut there: followed logs mark both as lossy.
const (
	invalidText    = "\xff"
	truncationMark = "…"
)

// StreamLog reads the text log over the WebSocket, which is all that 0.5.3 has.
func (s Run) StreamLog(ctx context.Context, yield func(line string) error, replayDone func()) error {
	err := s.Client.StreamLog(ctx, s.RunID, func(line restclient.LogLine) error {
		switch {
		case line.Lost:
			return yield(invalidText)
		case line.Truncated:
			return yield(line.Text + truncationMark)
		}
		return yield(line.Text)
	}, replayDone)
	return markGone(err)
}

// part makes runlog's answer of a ranged read.
func (s Run) part(file *restclient.FilePart, err error) (*runlog.Part, error) {
	if e, ok := errors.AsType[*restclient.Error](err); ok && e.Kind == restclient.KindUnsupported {
		return nil, fmt.Errorf("%w: %w", runlog.ErrNotServed, err)
	}
	if err != nil {
		return nil, markGone(err)
	}
	state, ok := partStates[file.State]
	if !ok {
		return nil, errors.Join(s.GoneError(), file.Close())
	}
	return &runlog.Part{State: state, Size: file.Size, ETag: file.ETag, Body: file}, nil
}
