package demoviewer

import (
	"bytes"
	"strconv"
	"time"
)

// logsName is the text log in a run's folder.
const logsName = "logs.txt"

// logEvery: every 25th line of a live run's events has a line in its text log.
const logEvery = 25

// log returns the text log of the run at a time, nil if it has none. It may be read without
// the lock: later writes use other memory.
func (r *Record) log(now time.Time) []byte {
	t, isLive := r.Events.(*Training)
	if !isLive || r.Files[logsName] == nil {
		return r.Files[logsName]
	}
	text := bytes.Clone(r.Files[logsName])
	for i := range t.count(now) / logEvery {
		text = t.appendLog(text, (i+1)*logEvery-1)
	}
	return text
}

// appendLog appends the text log's line for line i.
func (t *Training) appendLog(b []byte, i int64) []byte {
	b = t.timeOf(i).UTC().AppendFormat(b, time.TimeOnly)
	b = append(b, " | step "...)
	b = append(b, strconv.FormatInt(1e6+(i+1)%1e6, 10)[1:]...)
	b = append(b, " loss "...)
	b = append(b, t.loss(i, 0, "nan     ")...)
	b = append(b, " accuracy "...)
	b = appendFixed(b, t.accuracy(i))
	return append(b, '\n')
}

// logChanged returns when the text log was last written. That of a live run changes with
// its events.
func (r *Record) logChanged(now, changed time.Time) time.Time {
	if t, isLive := r.Events.(*Training); isLive {
		return t.modified(now)
	}
	return changed
}
