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

// wantsEvents reports whether an Accept header prefers server-sent events: it must name
// them (a browser's EventSource sends nothing else) with at least the quality of every
// form of JSON. grpc-gateway compares the header as a whole, so it would send lines for
// "text/event-stream, application/json".
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

// quality parses a q parameter; anything but a number from 0 to 1 is treated as 1.
func quality(q string) float64 {
	v, err := strconv.ParseFloat(q, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 1
	}
	return v
}
