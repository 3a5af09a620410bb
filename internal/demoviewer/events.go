package demoviewer

import (
	"bytes"
	"io"
	"time"
)

// EventFile is the events.jsonl of a run. Its contents depend on the time only, so a size
// and a later read agree.
type EventFile interface {
	Size(now time.Time) int64
	modified(now time.Time) time.Time
	// reader reads the file; later appends are not included.
	reader() io.ReaderAt
}

// Written is an event file with explicit contents.
type Written struct {
	Raw     []byte // only appended to, so that a slice of it may be read without the lock
	Changed time.Time
}

// Size implements EventFile.
func (f *Written) Size(time.Time) int64 { return int64(len(f.Raw)) }

func (f *Written) modified(time.Time) time.Time { return f.Changed }
func (f *Written) reader() io.ReaderAt          { return bytes.NewReader(f.Raw) }

// EventBytes returns the event file of a run at time now.
func EventBytes(r *Record, now time.Time) []byte {
	raw := make([]byte, r.Events.Size(now))
	n, _ := r.Events.reader().ReadAt(raw, 0) // from memory, which cannot fail
	return raw[:n]
}

// NullNonFinite replaces the bare tokens NaN, Infinity and -Infinity by null.
func NullNonFinite(line []byte) []byte {
	if !bytes.ContainsAny(line, "NI") {
		return line
	}
	out := make([]byte, 0, len(line))
	inString := false
	for i := 0; i < len(line); i++ {
		switch b := line[i]; {
		case inString && b == '\\' && i+1 < len(line):
			out = append(out, b)
			i++
		case b == '"':
			inString = !inString
		case !inString:
			if token := nonFiniteToken(line[i:]); token > 0 {
				out = append(out, "null"...)
				i += token - 1
				continue
			}
		}
		out = append(out, line[i])
	}
	return out
}

// nonFiniteToken returns the length of a non-finite token at the start of b, or 0.
func nonFiniteToken(b []byte) int {
	for _, token := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(b, []byte(token)) {
			return len(token)
		}
	}
	return 0
}
