package restclient

import (
	"cmp"
	"context"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// Moves is the result of a move: the runs that were not moved, and why.
type Moves struct {
	TextQuality
	Failed []struct {
		// Error is the Viewer's text, such as "run not found", scrubbed.
		Error Text `json:"error"`
	} `json:"failed"`
}

type moveBody struct {
	RunIDs []string `json:"run_ids"`
	Path   string   `json:"target_path"`
}

// MoveRuns moves runs to another path. The Viewer answers 200 whatever happened to each
// run. A path that it refuses is KindBadRequest, and then no run was moved.
//
//viewer:operation POST /api/runs/move 0.7
func (c *Client) MoveRuns(ctx context.Context, runIDs []string, path string) (*Moves, error) {
	if err := cmp.Or(checkIDs(runIDs, MaxSoftDelete), checkPath(path)); err != nil {
		return nil, err
	}
	defer c.forget(runIDs...)
	moves, err := doJSON[Moves](ctx, c, call{cap: CapMoveRuns, body: moveBody{RunIDs: runIDs, Path: path}})
	if err != nil {
		return nil, err
	}
	for i := range moves.Failed {
		moves.Failed[i].Error.Value = scrub.Text(moves.Failed[i].Error.Value, nil)
	}
	return moves, nil
}
