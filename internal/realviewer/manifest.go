package realviewer

import (
	"maps"
	"slices"
)

// Run is one seeded run.
type Run struct {
	RunID string `json:"run_id"`
	// Project and Name locate a run of 0.5.3; empty in later releases.
	Project string `json:"project"`
	Name    string `json:"name"`
	// Path locates a run of 0.6 and later; empty in 0.5.3.
	Path string `json:"path"`
	// Alias and Tags are set for 0.6 and later.
	Alias string   `json:"alias"`
	Tags  []string `json:"tags"`
	// Status is the status given to the SDK. The Viewer reports another one for KeyCrashed,
	// whose process is dead: failed.
	Status string `json:"status"`
	// Dir is the run's directory, an absolute path.
	Dir string `json:"dir"`
	// EventFile is the path of the event file, which exists once something is logged.
	EventFile string `json:"event_file"`
}

// Manifest lists the runs in a storage under keys that are the same for all releases. A key
// is absent if the release cannot have such a run.
type Manifest struct {
	Version Version
	Runs    map[string]Run
}

// RunIDs returns the ids of all runs, sorted.
func (m *Manifest) RunIDs() []string {
	ids := make([]string, 0, len(m.Runs))
	for _, run := range m.Runs {
		ids = append(ids, run.RunID)
	}
	slices.Sort(ids)
	return ids
}

// Keys returns the keys of all runs, sorted.
func (m *Manifest) Keys() []string { return slices.Sorted(maps.Keys(m.Runs)) }

// The keys of the runs that Seed creates. python/runs.py and python/assets.py define their
// contents.
const (
	KeyBasic        = "basic"           // 50 steps of loss, accuracy (primary, maximum) and count, two stages, text, summary
	KeyNaN          = "nan"             // NaN and both infinities; the best value is NaN
	KeySparse       = "sparse"          // metrics at some steps only, with Unicode, slashes, spaces and quotes in their names
	KeyRewrites     = "rewrites"        // the same steps logged three times
	KeyBackfill     = "backfill"        // steps that go back and repeat
	KeyNegative     = "negative"        // negative steps, negative zero
	KeyCells        = "cells"           // booleans, text, null, a metric of mixed kinds, nested values, a numeric stage
	KeyBigInts      = "bigints"         // 2^60+1 and the like, a step beyond 2^53, the extreme doubles
	KeyHugeInts     = "hugeints"        // integers beyond 64 bits; 0.5 and 0.6 only
	KeyEpochs       = "epochs"          // epoch as a metric, which no Viewer's table has
	KeyEmpty        = "empty"           // nothing logged
	KeyFailed       = "failed"          // finished as failed
	KeyInterrupted  = "interrupted"     // finished as interrupted
	KeyCrashed      = "crashed"         // its process died; the Viewer calls it failed
	KeyCustomStatus = "custom_status"   // finished as "completed"; 0.5 and 0.6 only
	KeyReopened     = "reopened"        // finished, continued under its id from an earlier step, finished again
	KeyTorn         = "torn"            // the last line is incomplete
	KeyUnterminated = "unterminated"    // the last line is complete, but without a newline
	KeyMalformed    = "malformed"       // two malformed lines in the middle
	KeyOddLines     = "odd_lines"       // lines of JSON that the SDK does not write
	KeyFarSteps     = "far_steps"       // two lines with steps beyond int64
	KeySummary      = "summary"         // nested, non-finite and large values in the summary; a Unicode alias
	KeyDeep         = "deep"            // a path of four segments; 0.6 and later
	KeyOneSegment   = "one_segment"     // a path of one segment; 0.6 and later
	KeyNoPath       = "no_path"         // no path at all; 0.6 and later
	KeyUnicode      = "unicode_project" // Cyrillic project and name, with spaces; 0.5 only
	KeyImages       = "images"          // three images, with and without caption and step
	KeyEnvironment  = "environment"     // a captured environment
	KeyAssets       = "assets"          // code snapshot, config, datasets, pretrained, outputs; 0.6 and later

	KeyArtifactDataset = "artifact_dataset" // made toy-data:v1; 0.5 only
	KeyArtifactModel   = "artifact_model"   // used toy-data, made toy-model v1 to v3, v2 also "production"; 0.5 only
	KeyArtifactUser    = "artifact_user"    // used toy-model:production; 0.5 only

	KeyBig = "big" // 12,000 rows, written by a Lab without the SDK
)

// The keys of the runs that a Trainer keeps alive.
const (
	KeyLive = "live" // gets a point every TickInterval
	KeyHeld = "held" // gets only what the test logs, or appends to its event file
)
