// Package source reads the runs that requests mean, parsed or as they are, and
// makes the API's errors of what fails.
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

// FilesUnsupported is the error of a Viewer that serves no files of runs: 0.5. What
// restclient says to use instead stands for metrics only.
func FilesUnsupported(err error) error {
	e, ok := errors.AsType[*restclient.Error](err)
	if !ok || e.Kind != restclient.KindUnsupported {
		return err
	}
	unsupported := *e
	unsupported.Alternative = "use a Viewer of 0.6 or later: 0.5 serves no files of experiments"
	return &unsupported
}

// ClassifyError returns the state that heartbeats report for a failure of a Viewer, and how long the
// Viewer wants to be left alone. It is for follow.HubConfig.
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

// Of returns the run as it is read from its Viewer.
func Of(t target.Run) runsource.Run {
	return runsource.Run{Client: t.Client, Key: runsource.Key{Viewer: t.Name, RunID: t.RunID}}
}

// Reader reads parsed runs from the cache.
type Reader struct{ Cache *runcache.Cache }

// Read gives the run's parsed view to use, which must neither change nor keep it.
func (r Reader) Read(ctx context.Context, t target.Run, use func(*runcache.View) error) error {
	src := Of(t)
	return r.Cache.Read(ctx, src.Key, src, use)
}

// ReadAny is Read, but of a run that is too large to be kept, use gets the digest; see
// runcache.Cache.
func (r Reader) ReadAny(ctx context.Context, t target.Run, use func(*runcache.View) error) error {
	src := Of(t)
	return r.Cache.ReadAny(ctx, src.Key, src, use)
}

// ErrPieceDone ends a piece of computing before the line at hand, which comes again
// in the next one.
var ErrPieceDone = errors.New("the piece of computing is done")

// ScanEvents reads an event file from its beginning. The parsing and the handler are
// done in pieces of computing, which the handler may end with ErrPieceDone. What stands
// behind the last newline is returned with its offset.
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
