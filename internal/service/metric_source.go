package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// source is the run as it is read from its Viewer.
func (t target) source() runsource.Run {
	return runsource.Run{Client: t.Client, Key: runsource.Key{Viewer: t.Name, RunID: t.runID}}
}

// readRun gives the run's parsed view to use, which must neither change nor
// keep it.
func (d *Config) readRun(ctx context.Context, t target, use func(*runcache.View) error) error {
	src := t.source()
	return lineTooLong(t, d.Cache.Read(ctx, src.Key, src, use))
}

// lineTooLong says of which run a line is too long.
func lineTooLong(t target, err error) error {
	e, ok := errors.AsType[*eventlog.LineTooLongError](err)
	if !ok {
		return err
	}
	return &failure{
		code: codes.DataLoss, reason: runicornapiv1.ErrorReason_ERROR_REASON_LINE_TOO_LONG, cause: err,
		message: fmt.Sprintf("%s: %v", t.resourceName(), e),
		metadata: map[string]string{
			"viewer": t.Name, "run_id": t.runID, "offset": strconv.FormatInt(e.Offset, 10),
		},
	}
}
