// Package source reads the runs that requests name, parsed or as raw files, and maps the
// failures to errors of the API.
package source

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// FilesUnsupported replaces the alternative that restclient suggests for Viewers of 0.5,
// which serve no files of runs: it applies to metrics only.
func FilesUnsupported(err error) error {
	e, ok := errors.AsType[*restclient.Error](err)
	if !ok || e.Kind != restclient.KindUnsupported {
		return err
	}
	unsupported := *e
	unsupported.Alternative = "use a Viewer of 0.6 or later: 0.5 serves no files of experiments"
	return &unsupported
}

// ClassifyError returns the state that heartbeats report for a failure of a Viewer, and
// the delay that the Viewer asks for before the next request. It is used in
// follow.HubConfig.
func ClassifyError(err error) (follow.UpstreamState, time.Duration) {
	e, ok := errors.AsType[*restclient.Error](err)
	if !ok {
		return follow.UpstreamFailing, 0
	}
	if e.Kind == restclient.KindRateLimited {
		return follow.UpstreamRateLimited, e.RetryAfter
	}
	return follow.UpstreamFailing, e.RetryAfter
}

// Of returns the source of the run on its Viewer.
func Of(t target.Run) runsource.Run {
	return runsource.Run{Client: t.Client, Key: runsource.Key{Viewer: t.Name, RunID: t.RunID}}
}

// Reader reads parsed runs from the cache.
type Reader struct{ Cache *runcache.Cache }

// Read calls use with the run's parsed view, which use must neither change nor keep.
func (r Reader) Read(ctx context.Context, t target.Run, use func(*runcache.View) error) error {
	src := Of(t)
	return r.Cache.Read(ctx, src.Key, src, use)
}

// ReadAny is Read, but if the run is too large to be kept parsed, use gets its digest;
// see runcache.Cache.
func (r Reader) ReadAny(ctx context.Context, t target.Run, use func(*runcache.View) error) error {
	src := Of(t)
	return r.Cache.ReadAny(ctx, src.Key, src, use)
}

// ErrPieceDone ends a step of computing before the current line, which the next step
// reads again.
var ErrPieceDone = errors.New("the step of computing is done")

// ScanEvents reads an event file from its beginning. Parser and handler run in steps of
// computing, which the handler may end with ErrPieceDone. The text after the last newline
// is returned with its offset.
func ScanEvents(
	body io.Reader, parser *eventlog.Parser, compute func(func() error) error, h eventlog.Handler,
) (rest []byte, offset int64, err error) {
	rest, err = runsource.ReadLines(body, -1, func(chunk []byte) (consumed int, err error) {
		for {
			err := compute(func() error {
				n, err := parser.Parse(chunk[consumed:], offset, h)
				consumed, offset = consumed+n, offset+int64(n)
				return err
			})
			if !errors.Is(err, ErrPieceDone) {
				return consumed, err
			}
		}
	})
	return rest, offset, err
}
