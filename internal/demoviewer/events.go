package demoviewer

import (
	"bytes"
	"io"
	"regexp"
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

// stringOrNonFinite matches a string, which hides the tokens within it, or a token that
// Python writes and JSON does not allow. The last string may be incomplete.
var stringOrNonFinite = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"?|NaN|-?Infinity`)

// NullNonFinite replaces the bare tokens NaN, Infinity and -Infinity by null.
func NullNonFinite(line []byte) []byte {
	if !bytes.ContainsAny(line, "NI") {
		return line
	}
	return stringOrNonFinite.ReplaceAllFunc(line, func(match []byte) []byte {
		if match[0] == '"' {
			return match
		}
		return []byte("null")
	})
}
