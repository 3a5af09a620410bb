package restclient

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// The maximum number of ids that the Viewer accepts in one batch.
const (
	MaxSoftDelete = 100
	MaxPurge      = 50
)

// RunPatch changes a run's alias and tags. Nil leaves the value unchanged; an empty alias
// and an empty list clear it.
type RunPatch struct {
	Alias *string   `json:"alias,omitempty"`
	Tags  *[]string `json:"tags,omitempty"`
}

// PatchedRun is a run's alias and tags after a patch. The Viewer trims text and drops blank
// tags.
type PatchedRun struct {
	TextQuality
	Alias Text   `json:"alias"`
	Tags  []Text `json:"tags"`
}

// BatchResult is the result of a batch for each run.
type BatchResult struct {
	TextQuality
	Results map[string]ItemResult `json:"results"`
}

// ItemResult is the result of a batch for one run.
type ItemResult struct {
	Success bool `json:"success"`
	// Error is the Viewer's text, such as "run not found", scrubbed.
	Error Text `json:"error"`
}

// Purge is what a permanent delete removed, or would remove.
type Purge struct {
	TextQuality
	Success         bool  `json:"success"`
	BlobsDeleted    Int   `json:"blobs_deleted"`
	BytesFreed      Int   `json:"bytes_freed"`
	Errors          Texts `json:"errors"`
	PartialFailures Texts `json:"partial_failures"`
}

// idList is the body of a batch.
type idList struct {
	RunIDs []string `json:"run_ids"`
	DryRun bool     `json:"dry_run,omitempty"`
}

// PatchRun changes a run's alias and tags.
//
//viewer:operation PATCH /api/runs/{run_id} 0.6 0.7
func (c *Client) PatchRun(ctx context.Context, runID string, patch RunPatch) (*PatchedRun, error) {
	defer c.runs.invalidate()
	return doJSON[PatchedRun](ctx, c, call{cap: CapPatchRun, ids: []string{runID}, body: patch})
}

// SoftDelete moves runs to the recycle bin. A run that is missing or already in the bin is
// a failed item; one malformed id fails the whole call.
//
//viewer:operation POST /api/runs/soft-delete 0.5 0.6 0.7
func (c *Client) SoftDelete(ctx context.Context, runIDs []string) (*BatchResult, error) {
	return c.batch(ctx, capSoftDelete, runIDs)
}

// RecycleBin lists the runs in the recycle bin.
//
//viewer:operation GET /api/recycle-bin 0.5 0.6 0.7
func (c *Client) RecycleBin(ctx context.Context) ([]DeletedRun, error) {
	bin, err := readJSON[recycleBin](ctx, c, call{cap: capRecycleBin, limit: maxRunList})
	if err != nil {
		return nil, err
	}
	return slices.Clone(bin.Runs), nil
}

type recycleBin struct {
	Runs []DeletedRun `json:"deleted_runs"`
}

// Restore moves runs out of the recycle bin.
//
//viewer:operation POST /api/recycle-bin/restore 0.5 0.6 0.7
func (c *Client) Restore(ctx context.Context, runIDs []string) (*BatchResult, error) {
	return c.batch(ctx, capRestore, runIDs)
}

// EmptyBin permanently deletes everything in the recycle bin, and returns the number of
// runs.
//
//viewer:operation POST /api/recycle-bin/empty 0.5 0.6 0.7
func (c *Client) EmptyBin(ctx context.Context) (int64, error) {
	defer c.runs.invalidate()
	answer, err := doJSON[struct {
		Deleted Int `json:"permanently_deleted"`
	}](ctx, c, call{cap: capEmptyBin, body: map[string]bool{"confirm": true}})
	if err != nil {
		return 0, err
	}
	return answer.Deleted.Value, nil
}

// PurgeBatch permanently deletes runs, or with dryRun reports per run what would be
// removed.
//
//viewer:operation POST /api/runs/permanent-delete 0.6 0.7
func (c *Client) PurgeBatch(ctx context.Context, runIDs []string, dryRun bool) (map[string]Purge, error) {
	if err := checkIDs(runIDs, MaxPurge); err != nil {
		return nil, err
	}
	if !dryRun {
		defer c.forget(runIDs...)
	}
	answer, err := doJSON[struct {
		Results map[string]Purge `json:"results"`
	}](ctx, c, call{cap: CapPurgeBatch, body: idList{RunIDs: runIDs, DryRun: dryRun}})
	if err != nil {
		return nil, err
	}
	for id, p := range answer.Results {
		p.Errors, p.PartialFailures = p.Errors.Scrubbed(), p.PartialFailures.Scrubbed()
		answer.Results[id] = p
	}
	return answer.Results, nil
}

// checkIDs checks the ids of a batch, which the Viewer uses in paths.
func checkIDs(ids []string, limit int) error {
	if len(ids) == 0 || len(ids) > limit {
		return &IDError{Field: "run_ids", Reason: fmt.Sprintf("must hold 1 to %d ids", limit)}
	}
	for _, id := range ids {
		if err := CheckID("run_ids", id); err != nil {
			return err
		}
	}
	return nil
}

// batch moves runs into the bin or out of it.
func (c *Client) batch(ctx context.Context, name Capability, ids []string) (*BatchResult, error) {
	if err := checkIDs(ids, MaxSoftDelete); err != nil {
		return nil, err
	}
	defer c.forget(ids...)
	result, err := doJSON[BatchResult](ctx, c, call{cap: name, body: idList{RunIDs: ids}})
	if err != nil {
		return nil, err
	}
	for id, item := range result.Results {
		item.Error.Value = scrub.Text(item.Error.Value, nil)
		result.Results[id] = item
	}
	return result, nil
}

// forget drops cached data of changed runs. It runs after a failed change as well, because
// the outcome may be unknown.
func (c *Client) forget(runIDs ...string) {
	c.runs.invalidate()
	c.exported.clear()
	for _, id := range runIDs {
		c.dirs.forget(id)
	}
}

// ItemError returns the error of one run that a batch failed to change, from the Viewer's
// text, which comes with status 200.
func (c *Client) ItemError(runID, text string) error {
	e := &Error{Kind: KindServer, Viewer: c.cfg.Name, Detail: scrub.Text(text, nil)}
	switch said := strings.ToLower(text); {
	case strings.Contains(said, "run not found"):
		e.Kind, e.Resource, e.ResourceID, e.Detail = KindNotFound, nounRun, runID, ""
	case strings.Contains(said, "run not deleted"), strings.Contains(said, "already"):
		e.Kind = KindConflict
	}
	return e
}
