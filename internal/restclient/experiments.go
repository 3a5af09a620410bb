package restclient

import (
	"context"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

// Run is one experiment as any generation lists it. Fields that a generation does not send
// are unknown or empty.
type Run struct {
	ID          string `json:"id"`
	Dir         string `json:"run_dir"` // a path on the Viewer's machine, for files.go only
	CreatedTime Time   `json:"created_time"`
	// Status is the Viewer's text. Releases before 0.7 pass through any text that was given
	// to finish().
	Status Text `json:"status"`
	PID    Int  `json:"pid"`

	// BestMetricValue is unknown while the name is known if the best value was NaN. 0.5 and
	// 0.6 know both only after finish().
	BestMetricValue Float `json:"best_metric_value"`
	BestMetricName  Text  `json:"best_metric_name"`

	// Project and Name are sent by 0.5.
	Project Text `json:"project"`
	Name    Text `json:"name"`
	// ArtifactsCreated and ArtifactsUsed are sent by 0.5.
	ArtifactsCreated Int `json:"artifacts_created_count"`
	ArtifactsUsed    Int `json:"artifacts_used_count"`

	// Path, Alias and Tags are sent by 0.6 and 0.7. 0.7.2 splits tags at commas in its
	// answers.
	Path   Text   `json:"path"`
	Alias  Text   `json:"alias"`
	Tags   []Text `json:"tags"`
	Assets Int    `json:"assets_count"`
}

// RunDetail has what the detail route adds to the list entry. In no generation does the
// detail have created time, tags or best metric.
type RunDetail struct {
	Run
	TextQuality
	// StartTime, Duration (seconds, still growing while the run is running) and Summary are
	// sent by 0.7. NaN is null in this Summary.
	StartTime Time   `json:"start_time"`
	Duration  Float  `json:"duration"`
	Summary   Values `json:"summary"`
	// EventPath and LogPath are on the Viewer's machine. They are set even if the file does
	// not exist yet.
	EventPath string `json:"metrics"`
	LogPath   string `json:"logs"`
}

// Environment describes the machine on which a run was started.
type Environment struct {
	TextQuality
	Available bool   `json:"available"`
	Values    Values `json:"environment"`
}

// DeletedRun is a run in the recycle bin.
type DeletedRun struct {
	ID             string `json:"id"`
	Project        Text   `json:"project"`
	Name           Text   `json:"name"`
	Path           Text   `json:"path"`
	Alias          Text   `json:"alias"`
	CreatedTime    Time   `json:"created_time"`
	DeletedTime    Time   `json:"deleted_at"`
	DeleteReason   Text   `json:"delete_reason"`
	OriginalStatus Text   `json:"original_status"`
}

// listRuns reads the whole list; Runs shares it.
//
//viewer:operation GET /api/runs 0.5 0.6 0.7
func (c *Client) listRuns(ctx context.Context) (*viewerjson.List[Run], error) {
	return doJSON[viewerjson.List[Run]](ctx, c, call{cap: capListRuns, limit: maxRunList})
}

// GetRun reads the detail of a run. A soft-deleted run is not found.
//
//viewer:operation GET /api/runs/{run_id} 0.5 0.6 0.7
func (c *Client) GetRun(ctx context.Context, runID string) (*RunDetail, error) {
	detail, err := readJSON[RunDetail](ctx, c, call{cap: capGetRun, ids: []string{runID}})
	if err == nil {
		c.dirs.put(runID, runDir{dir: detail.Dir, events: detail.EventPath, logs: detail.LogPath, at: time.Now()})
	}
	return detail, err
}

// GetEnvironment reads the environment of a run.
//
//viewer:operation GET /api/environment/{run_id} 0.5 0.6 0.7
func (c *Client) GetEnvironment(ctx context.Context, runID string) (*Environment, error) {
	return readJSON[Environment](ctx, c, call{cap: capEnvironment, ids: []string{runID}})
}
