package tail

// runState is the state of a run of a stream. Most runs go from pending over history to
// live and ended; the table below has all transitions. A run that is detached keeps its
// phase for the session in which it continues.
type runState struct {
	phase    runPhase
	detached bool // the session of its Viewer has ended, and no other session has the run yet
}

type runPhase uint8

const (
	runPending runPhase = iota // nothing was received yet
	runHistory                 // its history is being sent
	runPartial                 // what the client has is invalid: a reset must be sent first
	runLive                    // its history was sent; later points are not downsampled
	runResting                 // its end was sent before the token, and nothing was logged since
	runEnded                   // its end was sent
	runMissing                 // there is no such run
)

// runEvent is what happens to a run.
type runEvent uint8

const (
	eventItem     runEvent = iota // points, lines or a status
	eventPart                     // a part of a downsampled history is sent
	eventCaughtUp                 // its history is complete
	eventReset                    // all of it is sent again
	eventEnd                      // its end is sent
	eventMissing                  // there is no such run, now
	eventListed                   // a list reports that it is running again
	eventDetached                 // the session of its Viewer has ended
	eventAttached                 // another session has the run
)

// transitions has the phase after an event; without an entry the phase does not change.
var transitions = map[runEvent]map[runPhase]runPhase{
	eventItem:     {runPending: runHistory, runResting: runLive},
	eventPart:     {runPending: runPartial, runHistory: runPartial},
	eventCaughtUp: {runPending: runLive, runHistory: runLive, runPartial: runLive},
	eventReset:    {runPending: runHistory, runPartial: runHistory, runLive: runHistory, runResting: runHistory},
	eventEnd:      {runPending: runEnded, runHistory: runEnded, runPartial: runEnded, runLive: runEnded, runResting: runEnded},
	eventMissing:  {runPending: runMissing, runHistory: runEnded, runPartial: runEnded, runLive: runEnded, runResting: runEnded},
	eventListed:   {runEnded: runLive, runMissing: runPending},
}

// on applies an event.
func (s *runState) on(e runEvent) {
	switch e {
	case eventDetached:
		s.detached = true
	case eventAttached:
		s.detached = false
	default:
		if next, ok := transitions[e][s.phase]; ok {
			s.phase = next
		}
	}
}

// isDone reports whether nothing more of the run is to be sent, for now.
func (s runState) isDone() bool { return s.phase == runEnded || s.phase == runMissing }

// marks returns what a token holds of the state.
func (s runState) marks() runMarks {
	return [...]runMarks{
		runPending: 0, runHistory: 0, runPartial: markPartial, runLive: markLive,
		runResting: markLive | markEnded, runEnded: markLive | markEnded, runMissing: markEnded,
	}[s.phase]
}

// savedState returns the state of a run of a token.
func savedState(saved *tailRun) runState {
	switch {
	case saved.marks&markEnded != 0:
		return runState{phase: runResting}
	case saved.marks&markPartial != 0:
		return runState{phase: runPartial}
	case saved.marks&markLive != 0:
		return runState{phase: runLive}
	case saved.at.Origin != 0:
		return runState{phase: runHistory}
	}
	return runState{}
}
