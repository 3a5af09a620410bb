package tail

import (
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

func TestRunState_Transitions(t *testing.T) {
	position := runsource.Position{Origin: runsource.FromEventLog, Offset: 1}
	for _, tt := range []struct {
		name   string
		saved  tailRun
		events []runEvent
		want   runState
		marks  runMarks
	}{
		{"a run that was asked for is pending", tailRun{}, nil, runState{phase: runPending}, 0},
		{"its first points are history", tailRun{}, []runEvent{eventItem}, runState{phase: runHistory}, 0},
		{"behind its history it is live", tailRun{}, []runEvent{eventItem, eventCaughtUp, eventItem}, runState{phase: runLive}, markLive},
		{"an empty run is live at once", tailRun{}, []runEvent{eventCaughtUp}, runState{phase: runLive}, markLive},
		{"a downsampled history is partial until it is complete", tailRun{}, []runEvent{eventItem, eventPart}, runState{phase: runPartial}, markPartial},
		{"and live then", tailRun{}, []runEvent{eventItem, eventPart, eventCaughtUp}, runState{phase: runLive}, markLive},
		{"a reset begins with the history", tailRun{}, []runEvent{eventCaughtUp, eventReset}, runState{phase: runHistory}, 0},
		{"an end is the end", tailRun{}, []runEvent{eventCaughtUp, eventEnd, eventItem, eventCaughtUp, eventReset}, runState{phase: runEnded}, markLive | markEnded},
		{"a run that never was is missing", tailRun{}, []runEvent{eventMissing}, runState{phase: runMissing}, markEnded},
		{"a run that was there has ended by it", tailRun{}, []runEvent{eventItem, eventMissing}, runState{phase: runEnded}, markLive | markEnded},
		{"a run that is listed again continues live", tailRun{}, []runEvent{eventCaughtUp, eventEnd, eventListed}, runState{phase: runLive}, markLive},
		{"one that was missing begins", tailRun{}, []runEvent{eventMissing, eventListed}, runState{phase: runPending}, 0},
		{"a list does not change a run that continues", tailRun{}, []runEvent{eventItem, eventListed}, runState{phase: runHistory}, 0},
		{"a detached run keeps its phase", tailRun{}, []runEvent{eventCaughtUp, eventDetached}, runState{phase: runLive, detached: true}, markLive},
		{"and continues with it", tailRun{}, []runEvent{eventCaughtUp, eventDetached, eventAttached}, runState{phase: runLive}, markLive},

		{"a token of a history continues with it", tailRun{at: position}, nil, runState{phase: runHistory}, 0},
		{"a token of a live run continues live", tailRun{at: position, marks: markLive}, []runEvent{eventItem}, runState{phase: runLive}, markLive},
		{"a token of a partial history starts it again", tailRun{at: position, marks: markPartial}, []runEvent{eventReset}, runState{phase: runHistory}, 0},
		{"a token behind the end is at rest", tailRun{at: position, marks: markEnded}, []runEvent{eventCaughtUp}, runState{phase: runResting}, markLive | markEnded},
		{"whose run may continue", tailRun{at: position, marks: markEnded}, []runEvent{eventItem}, runState{phase: runLive}, markLive},
		{"or end once more", tailRun{at: position, marks: markEnded}, []runEvent{eventEnd}, runState{phase: runEnded}, markLive | markEnded},
		{"or be gone", tailRun{at: position, marks: markEnded}, []runEvent{eventMissing}, runState{phase: runEnded}, markLive | markEnded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state := savedState(&tt.saved)
			for _, e := range tt.events {
				state.on(e)
			}
			if state != tt.want || state.marks() != tt.marks {
				t.Errorf("the state is %v with marks %b, want %v with %b", state, state.marks(), tt.want, tt.marks)
			}
		})
	}
}
