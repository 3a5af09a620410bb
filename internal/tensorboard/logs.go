package tensorboard

import (
	"context"
	"strings"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	// logTag is the tag of a run's log, named after its file.
	logTag = "logs.txt"
	// logLines is the number of its last lines that are shown.
	logLines = 200
	// logTimeout bounds the time for reading them: 0.5 serves logs as a live stream only,
	// which may be empty.
	logTimeout = 10 * time.Second
	// maxLog bounds the shown text, in bytes.
	maxLog = 256 << 10
)

// log returns the tag of a run's log. Every run has the tag, because only a read shows
// whether there is a log.
func (s *Server) log(ctx context.Context, r *run, numPoints int) tag {
	t := tag{name: logTag, time: r.created()}
	if numPoints == 0 {
		return t
	}
	key, now := storeKey{r.Viewer.Name, r.Listed.ID, logTag, 1}, time.Now()
	if v, ok := s.store.get(key, r.Version(), now); ok {
		return v.tags[0]
	}
	lines, err := s.lastLines(ctx, r)
	t.tensors = &tensorboardpb.TensorData{}
	if len(lines) > 0 {
		addText(t.tensors, 0, t.time, fenced(lines))
	}
	v := stored{version: r.Version(), tags: []tag{t}}
	if !r.isEnded() || err != nil {
		v.expires = now.Add(maxAge)
	}
	s.store.put(key, v)
	return t
}

// lastLines returns the last lines of a log.
func (s *Server) lastLines(ctx context.Context, r *run) (lines []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	ctx, stop := target.WithMargin(ctx)
	defer stop()
	last := int32(logLines)
	tail, err := s.logs.TailLogs(ctx, &runicornapiv1.TailLogsRequest{Viewer: r.Viewer.Name, RunId: r.Listed.ID, LastLines: &last})
	if err != nil {
		return nil, err
	}
	for {
		message, err := tail.Recv()
		switch {
		case err != nil:
			return lines, err
		case message.GetCaughtUp() != nil, message.GetEnd() != nil:
			return lines, nil
		case message.GetLogReset() != nil:
			lines = nil
		}
		for _, line := range message.GetBatch().GetLines() {
			lines = append(lines, line.GetText())
		}
		lines = lines[max(0, len(lines)-logLines):]
	}
}

// fenced returns Markdown that shows lines verbatim: the fence is longer than any sequence of
// backquotes in them.
func fenced(lines []string) string {
	text := strings.Join(lines, "\n")
	if len(text) > maxLog {
		text = text[len(text)-maxLog:]
	}
	longest, at := 2, 0
	for i := range len(text) {
		if text[i] != '`' {
			at = i + 1
		}
		longest = max(longest, i+1-at)
	}
	fence := strings.Repeat("`", longest+1)
	return fence + "\n" + text + "\n" + fence
}
