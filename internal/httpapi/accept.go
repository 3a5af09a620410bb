package httpapi

import (
	"mime"
	"strconv"
	"strings"
)

// The media types of streams.
const (
	mediaEvents = "text/event-stream"
	mediaLines  = "application/x-ndjson"
)

// wantsEvents tells whether an Accept header asks for server-sent events: it
// must name them (a browser's EventSource names nothing else), and like no
// form of JSON better. grpc-gateway compares the header as a whole, so
// "text/event-stream, application/json" would get it lines.
func wantsEvents(accept []string) bool {
	var events, lines float64
	for element := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		mediaType, params, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}
		switch mediaType {
		case mediaEvents:
			events = max(events, quality(params["q"]))
		case mediaLines, "application/json":
			lines = max(lines, quality(params["q"]))
		}
	}
	return events > 0 && events >= lines
}

// quality reads a q parameter; what is no number from 0 to 1 counts as 1.
func quality(q string) float64 {
	v, err := strconv.ParseFloat(q, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 1
	}
	return v
}
