package tail

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// logReader is a client that stores lines and token together.
type logReader struct {
	tb     testing.TB
	req    *runicornapiv1.TailLogsRequest
	stream grpc.ServerStreamingClient[runicornapiv1.TailLogsResponse]
	cancel context.CancelFunc

	token  string
	lines  []*runicornapiv1.LogLine
	events []string // messages other than lines and heartbeats, with their index
}

// startTailLogs connects a new client.
func startTailLogs(tb testing.TB, h *servicetest.Harness, req *runicornapiv1.TailLogsRequest) *logReader {
	tb.Helper()
	c := &logReader{tb: tb, req: req}
	c.connect(h)
	return c
}

// connect begins, or resumes after the last token.
func (c *logReader) connect(h *servicetest.Harness) {
	c.tb.Helper()
	if c.cancel != nil {
		c.cancel()
	}
	req := c.req
	if c.token != "" {
		req = &runicornapiv1.TailLogsRequest{Viewer: req.GetViewer(), RunId: req.GetRunId(), ResumeToken: c.token, Until: req.GetUntil()}
	}
	ctx, cancel := context.WithTimeout(c.tb.Context(), tailTimeout)
	c.tb.Cleanup(cancel)
	c.cancel = cancel
	stream, err := h.Experiments.TailLogs(ctx, req)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.stream = stream
}

// recv receives one message and stores its content.
func (c *logReader) recv() (*runicornapiv1.TailLogsResponse, error) {
	m, err := c.stream.Recv()
	if err != nil {
		return nil, err
	}
	c.token = m.GetResumeToken()
	var event string
	switch e := m.GetEvent().(type) {
	case *runicornapiv1.TailLogsResponse_Batch:
		for _, line := range e.Batch.GetLines() {
			c.add(line)
		}
		return m, nil
	case *runicornapiv1.TailLogsResponse_LogReset:
		c.lines = nil
		event = "reset " + strings.TrimPrefix(e.LogReset.GetReason().String(), "LOG_RESET_REASON_")
	case *runicornapiv1.TailLogsResponse_StatusChange:
		event = "state " + e.StatusChange.GetViewerStatus()
	case *runicornapiv1.TailLogsResponse_End:
		event = "end " + strings.TrimPrefix(e.End.GetReason().String(), "END_REASON_")
	case *runicornapiv1.TailLogsResponse_CaughtUp:
		event = "caught_up"
	default:
		return m, nil
	}
	c.events = append(c.events, fmt.Sprintf("%s after %d", event, len(c.lines)))
	return m, nil
}

// add adds a line, which replaces a partial one.
func (c *logReader) add(line *runicornapiv1.LogLine) {
	c.tb.Helper()
	if n := len(c.lines); n > 0 && c.lines[n-1].GetPartial() {
		if c.lines[n-1].GetOffset() != line.GetOffset() {
			c.tb.Errorf("%v follows the partial line %v", line, c.lines[n-1])
		}
		c.lines = c.lines[:n-1]
	}
	c.lines = append(c.lines, line)
}

// until receives until isIt holds.
func (c *logReader) until(isIt func() bool) {
	c.tb.Helper()
	for !isIt() {
		if _, err := c.recv(); err != nil {
			c.tb.Fatalf("the stream ended by %v; before that: %q and %d lines", err, c.events, len(c.lines))
		}
	}
}

// record receives until there are n lines in all.
func (c *logReader) record(n int) {
	c.tb.Helper()
	c.until(func() bool { return len(c.lines) >= n })
}

// finish receives until the end and returns the error of the stream.
func (c *logReader) finish() error {
	for {
		if _, err := c.recv(); err != nil {
			return err
		}
	}
}

// texts are the lines; lossy ones have a mark.
func (c *logReader) texts() []string {
	var texts []string
	for _, line := range c.lines {
		text := line.GetText()
		if line.GetLossy() {
			text += " (lossy)"
		}
		if line.GetPartial() {
			text += " (partial)"
		}
		texts = append(texts, text)
	}
	return texts
}

func has(c *logReader, event string) func() bool {
	return func() bool {
		return slices.ContainsFunc(c.events, func(e string) bool { return strings.HasPrefix(e, event) })
	}
}
