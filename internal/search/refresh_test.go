package search

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// TestEntry_IsFreshUntilItsAge: a record is refreshed no earlier than its age says.
func TestEntry_IsFreshUntilItsAge(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	run := func(status string) *Run {
		return &Run{Listed: &restclient.Run{ID: "r", Status: restclient.Text{Value: status, Known: true}, CreatedTime: restclient.Time{Time: now.Add(-time.Hour)}}}
	}
	running, finished := run("running"), run("finished")
	record := func(run *Run, origin runsource.Origin) *Record {
		return &Record{Origin: origin, identity: run.identity(), listed: run.fingerprint(), ended: run == finished}
	}
	renamed := record(finished, runsource.FromEventLog)
	renamed.listed++
	for _, tt := range []struct {
		name   string
		run    *Run
		record *Record
		err    error
		want   time.Duration // the age until which it is fresh
	}{
		{"a running run with an event file", running, record(running, runsource.FromEventLog), nil, time.Second},
		{"a running run of a merged table, at most once a minute", running, record(running, runsource.FromMergedTable), nil, time.Minute},
		{"a finished run, which may be reopened", finished, record(finished, runsource.FromEventLog), nil, 10 * time.Minute},
		{"a finished run of a merged table", finished, record(finished, runsource.FromMergedTable), nil, 10 * time.Minute},
		{"a finished run with a changed list entry", finished, renamed, nil, 0},
		{"a run that could not be read", running, record(running, runsource.FromEventLog), errors.New("no"), 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.record.setRead(PartMetrics, now)
			e := &entry{record: tt.record, err: tt.err, failedAt: now}
			if tt.want > 0 && !e.isFresh(tt.run, PartMetrics, Wait, now.Add(tt.want-time.Millisecond)) {
				t.Errorf("it is refreshed before %v", tt.want)
			}
			if e.isFresh(tt.run, PartMetrics, Wait, now.Add(tt.want)) {
				t.Errorf("it is not refreshed after %v", tt.want)
			}
		})
	}
}

// TestIndex_ReadsAtMostFourRunsAtOnce: and the first one alone, as its cost is not known.
func TestIndex_ReadsAtMostFourRunsAtOnce(t *testing.T) {
	l := newLab(t, demotest.Gen07, "")
	l.AddRuns(40)
	arrived, proceed := make(chan struct{}, 40), make(chan struct{})
	block := func(r *http.Request) {
		if r.URL.Path != "/api/runs" && r.Method == http.MethodGet && r.Header.Get("Range") != "" {
			arrived <- struct{}{}
			<-proceed
		}
	}
	l.onRead.Store(&block)
	runs := l.runs(t)
	done := make(chan error, 1)
	go func() { // ends with the lookup, which is awaited below
		_, err := l.index.Lookup(t.Context(), runs, PartMetrics, Wait)
		done <- err
	}()
	for _, want := range []int{1, foregroundReads} {
		for range want {
			<-arrived
		}
		l.index.mu.Lock()
		v := l.index.viewers[l.fleet.Client]
		reading := v.reading
		l.index.mu.Unlock()
		if reading != want {
			t.Errorf("%d runs are read at once, want %d", reading, want)
		}
		proceed <- struct{}{}
	}
	close(proceed)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
