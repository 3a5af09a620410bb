package interceptor

import (
	"strings"
	"sync/atomic"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// TokenLimits is the maximum number of open calls of each kind with one token, so that
// one caller cannot use up the limits of the server. Without tokens, callers cannot be
// distinguished and there is no such limit. Zero means no limit.
type TokenLimits struct{ Calls, Streams, Exports int64 }

// usage is the number of open calls of a token.
type usage struct{ calls, streams, exports atomic.Int64 }

// reserve counts a call of a token, and returns the counter; nil if the call is not
// counted. Calls of Arrow Flight are not counted, as they make calls of the API that are.
func (l TokenLimits) reserve(c *caller, fullMethod string) (*atomic.Int64, error) {
	if c.grant == nil || RoleOf(fullMethod) == RoleNone || strings.HasPrefix(fullMethod, flightService) {
		return nil, nil
	}
	used := &c.grant.usage
	open, most, limit, what := &used.calls, l.Calls, "--max-token-calls", "calls"
	switch m := methods[fullMethod]; {
	case fullMethod == runicornapiv1.ExperimentService_ExportExperiment_FullMethodName:
		open, most, limit, what = &used.exports, l.Exports, "--max-token-exports", "exports"
	case m != nil && m.IsStreamingServer():
		open, most, limit, what = &used.streams, l.Streams, "--max-token-streams", "streams"
	}
	if open.Add(1) > most && most > 0 {
		open.Add(-1)
		err := apierr.OverLimit(limit, "%d %s of this token are open, which is the maximum", most, what)
		err.Details = append(err.Details, apierr.RetryInfo(0))
		return nil, err
	}
	return open, nil
}
